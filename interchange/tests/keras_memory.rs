//! Promise: reading a Keras file takes at most six times the file's size, the file among it, and 1 MiB for what every file has, however large the file says
//! that its parts are.

// The counter is a global allocator, and `GlobalAlloc` is an unsafe trait. Nothing else in this file is unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Cursor, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use latch_interchange::Limits;
use latch_interchange::keras::{Options, read};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

static LIVE: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

fn taken(bytes: usize) {
    MOST.fetch_max(LIVE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

/// The system's allocator, and the bytes that are in use.
struct Counting;

// SAFETY: every call is handed to `System` with the arguments it came with, so that `System` keeps the contract that the caller relies
// on. The counters are plain numbers and allocate nothing themselves. `realloc` is the default one, which calls these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        taken(layout.size());
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

const LIMITS: Limits = Limits { rows: 1 << 24, width: 1 << 20, layers: 32 };

/// What every file may take, however small it is.
const FREE: usize = 1 << 20;

/// Whether the file is read, and the memory that it takes besides itself.
fn measured(bytes: &[u8]) -> (Result<(), String>, usize) {
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    let read = read(bytes, "net", &Options::default(), &LIMITS).map(drop).map_err(|error| error.to_string());
    (read, MOST.load(Relaxed) - before)
}

fn member(archive: &[u8], name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).expect("it is an archive");
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap_or_else(|_| panic!("no {name}")).read_to_end(&mut bytes).expect("it is whole");
    bytes
}

fn packed(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(*name, options).expect("memory");
        writer.write_all(bytes).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

/// One test, because the counters are of the whole program.
#[test]
fn a_file_takes_at_most_six_times_its_size() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/keras/sizes.zip");
    let goldens = std::fs::read(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    // Of each the layers fit; what is said of sizes is made up in those that are refused.
    for (name, is_read) in [
        ("large.h5", true),
        ("large.keras", true),
        ("large-f16.h5", true),
        ("zeros-gzip.h5", false),
        ("zeros-chunked.h5", false),
        ("names.h5", false),
    ] {
        let file = member(&goldens, name);
        let (read, most) = measured(&file);
        println!("{name}: {} bytes take {most} more, {read:?}", file.len());
        assert_eq!(read.is_ok(), is_read, "{name}: {read:?}");
        assert!(most + file.len() <= 6 * file.len() + FREE, "{name}: {most} bytes for {}", file.len());
    }
    let file = member(&goldens, "large.keras");
    let weights = member(&file, "model.weights.h5");
    let objects = format!("[{}1]", r#"{"a":1},"#.repeat(200_000));
    let numbers = format!("[{}1]", "1,".repeat(1_000_000));
    for config in [objects, numbers] {
        let file = packed(&[("config.json", config.as_bytes()), ("model.weights.h5", &weights[..1000])]);
        let (read, most) = measured(&file);
        assert!(read.is_err() && most + file.len() <= 6 * file.len() + FREE, "{most} bytes for {}", file.len());
    }
}
