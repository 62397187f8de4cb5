//! Promises: an export does not read the training texts again; an import takes less than six times the memory of its file. A process of its own, because the counts are the process's.

// The counter of bytes is a global allocator, and `GlobalAlloc` is an unsafe trait. Nothing else in this file is unsafe.
#![allow(unsafe_code)]

#[path = "support/latch.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use latch_trainer::config::Valid;
use latch_trainer::dataset::{Columns, Task};
use latch_trainer::export::Trained;
use latch_trainer::export::judged::{Options, export};
use latch_trainer::runs::folder::RunFolder;
use latch_trainer::runs::imported::{Request, import};
use latch_trainer::tokenization::tokenized_bytes;
use support::{Place, succeed};

/// One count at a time.
static ALONE: Mutex<()> = Mutex::new(());

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, and the bytes that are in use.
struct Counting;

// SAFETY: every call is handed to `System` with the arguments it came with, so that `System` keeps the contract that the caller relies
// on. The counters are plain numbers and allocate nothing themselves. `realloc` is the default one, which calls these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: `pointer` came from `alloc` above and so from `System`, with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that an import takes at most at one time, and those of its file.
fn taken(place: &Place, file: &str, task: Option<Task>, out: &str) -> (usize, usize) {
    let path = place.file(file);
    let request = Request {
        file: &path,
        absolute_file: path.clone(),
        vocabulary: None,
        pooling: None,
        task,
        tokens: None,
        data: None,
        valid: Valid::Fraction(0.1),
        columns: Columns::default(),
        probe: None,
        full_scale: None,
        longest: None,
        chain: None,
        until: None,
        tokenizer: None,
    };
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    import(&RunFolder::new(place.file(out)), &request).unwrap_or_else(|error| panic!("{file}: {error:#}"));
    (MOST.load(Relaxed) - before, place.read(file).len())
}

#[test]
fn an_import_takes_less_than_six_times_the_memory_of_its_file() {
    let _alone = ALONE.lock();
    let place = Place::with_data(60);
    let rows: String =
        (0..60).map(|row| format!("{},{},0.5:0.1,0.2,{}:{}\n", row % 7, row % 5, row % 3, row % 3)).collect();
    place.write("series.ts", format!("@univariate false\n@classLabel true 0 1 2\n@data\n{rows}"));
    let samples = ["--model", "samples > lstm 256 > lstm 350 > last > dense"];
    let train = ["train", "--data", "series.ts", "--epochs", "1", "--out", "samples"];
    succeed(&mut place.latch(train.iter().chain(&samples)));
    place.train("texts", &["--epochs", "1", "--model", "text 80 > embedding 64 > lstm 256 > lstm 350 > last > dense"]);
    for (run, format, file) in [
        ("samples", "onnx", "samples.onnx"),
        ("samples", "safetensors", "samples.safetensors"),
        ("texts", "safetensors", "texts.safetensors"),
    ] {
        succeed(&mut place.latch(["export", "--run", run, "--format", format, "--out", file]));
        let task = Some(Task::Classify(0));
        let (most, bytes) = taken(&place, file, task, &format!("of-{file}"));
        eprintln!("{file}: {most} bytes for {bytes}: {:.2} times", most as f64 / bytes as f64);
        assert!(bytes > 4_000_000 && most < 6 * bytes, "{file}: {most} bytes for {bytes}");
    }
}

/// Bytes that are tokenized by an export of a run, and the bytes of its training and validation texts.
fn tokenized(place: &Place) -> (u64, u64, u64) {
    let before = tokenized_bytes();
    let folder = RunFolder::new(place.file("run"));
    let run = Trained::read(&folder).expect("a run");
    let options = Options {
        columns: Default::default(),
        storage: latch_trainer::config::Storage::Int8,
        fold_to: None,
        calibrate: true,
        warm_up: None,
        early_error: None,
        data: None,
        missing: None,
        calibrate_on: None,
    };
    export(&run, &options).expect("an image");
    let bytes =
        |texts: &[latch_trainer::dataset::Example<_>]| texts.iter().map(|example| example.text.len() as u64).sum();
    let (training, validation) = (bytes(&run.opened.training), bytes(&run.opened.validation));
    (tokenized_bytes() - before, training, validation)
}

#[test]
fn an_export_tokenizes_the_validation_part_once_and_of_the_training_part_only_the_texts_that_saturation_is_counted_on()
{
    let _alone = ALONE.lock();
    let place = Place::with_data(3000);
    place.train("run", &["--epochs", "1"]);
    let (read, training, validation) = tokenized(&place);
    // 256 of 2,400 training texts.
    assert!(read > validation && read < validation + training / 5, "{read} of {training} and {validation}");

    // A run that does not keep how often its words occur is read for it: once for the words, once for their number.
    std::fs::remove_file(place.file("run/occurrences")).expect("the file");
    let (again, ..) = tokenized(&place);
    assert_eq!(again, read + 2 * training);
}
