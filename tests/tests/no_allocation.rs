//! Promise: from opening an image to its answer nothing is allocated; the state lies where the caller puts it.

// The counter is a global allocator, and `GlobalAlloc` is an unsafe trait. Nothing else in this file is unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use latch_engine::image::Image;
use latch_engine::input::text::Unknown;
use latch_engine::kernels::AnyBackend;
use latch_engine::layers::pooling::Pooling;
use latch_engine::{Digest, Model, Precision, Session, State};
use latch_tests::models::{POOLINGS, PRECISIONS, Shape};

thread_local! {
    /// Allocations of this thread. Constant and without a destructor, so that using it allocates nothing.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, and a count.
struct Counting;

// SAFETY: every call is handed to `System` with the arguments it came with, so that `System` keeps the contract that the caller relies
// on. The counter is a plain number of this thread and allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is the one that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `alloc` above and so from `System`, with this layout, as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: as for `dealloc`; the caller's promise about `size` is the one that `System` asks for.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` gives, and how often it allocated.
fn counted<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATIONS.get();
    let value = run();
    (value, ALLOCATIONS.get() - before)
}

/// Room for the largest state of the models below.
const BYTES: usize = 1024;

fn shape(pooling: Pooling) -> Shape {
    Shape { rows: 300, width: 9, units: vec![17, 11], pooling, unknown: Unknown::LastRow, seed: 2 }
}

const TEXT: &[u8] = "A bad film, ab; bc 'cd' <br /> don't ee!! caf\u{e9} 10/10 \u{2026} zz".as_bytes();

#[test]
fn the_counter_counts() {
    assert_eq!(counted(|| Box::new(1)).1, 1);
    assert_eq!(counted(|| [1, 2, 3]).1, 0);
}

#[test]
fn nothing_is_allocated_from_opening_an_image_to_its_answer() {
    for precision in PRECISIONS {
        for pooling in POOLINGS {
            let bytes = shape(pooling).image(precision);
            for backend in AnyBackend::all() {
                let (digest, allocations) = counted(|| {
                    let image = Image::open(&bytes)?;
                    let model = Model::new(&image).with_backend(backend);
                    let mut state = State::<BYTES>::new();
                    let mut session = model.session(&mut state)?;
                    let mut digest = Digest::default();
                    for chunk in TEXT.chunks(5) {
                        session.push_bytes_each(chunk, |session, _| digest.push(session.output()));
                    }
                    session.finish_each(|session, _| digest.push(session.output()));
                    session.push_tokens(&[1, 2, 3, 1000]);
                    digest.push(session.output());
                    let mut kept = State::<BYTES>::from_bytes(state.as_bytes())?;
                    let mut resumed = model.resume(&mut kept)?;
                    resumed.push_token(4);
                    digest.push(resumed.output());
                    resumed.reset();
                    assert!(resumed.probability() > 0.0);
                    Ok::<_, latch_engine::Error>(digest)
                });
                assert!(digest.is_ok_and(|digest| digest != Digest::default()));
                assert_eq!(allocations, 0, "{} {} on {}", precision.name(), pooling.name(), backend.name());
            }
        }
    }
}

#[test]
fn packing_and_stepping_together_allocate_nothing() {
    for precision in PRECISIONS {
        let bytes = shape(Pooling::Mean).image(precision);
        for backend in AnyBackend::all() {
            let image = Image::open(&bytes).expect("the image was just made");
            let model = Model::new(&image).with_backend(backend);
            let mut memory = vec![0; model.packed_bytes()];
            let mut states = [const { State::<BYTES>::new() }; 3];
            let (count, allocations) = counted(|| {
                let model = model.pack(&mut memory)?;
                let [a, b, c] = &mut states;
                let mut sessions = [model.session(a)?, model.session(b)?, model.session(c)?];
                Ok::<_, latch_engine::Error>(Session::step_many(&mut sessions, &[1, 2, 3]))
            });
            assert_eq!((count, allocations), (Ok(3), 0), "{} on {}", precision.name(), backend.name());
        }
    }
}

#[test]
fn refusing_an_image_allocates_nothing_either() {
    let mut bytes = shape(Pooling::Last).image(Precision::Int8);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    assert_eq!(counted(|| Image::open(&bytes).is_err()), (true, 0));
    assert_eq!(counted(|| Image::open(&bytes[..middle]).is_err()), (true, 0));
    assert_eq!(counted(|| Image::open(&[]).is_err()), (true, 0));
}

#[test]
fn a_state_can_lie_in_static_memory() {
    use std::sync::Mutex;
    static STATE: Mutex<State<BYTES>> = Mutex::new(State::new());
    let bytes = shape(Pooling::Mean).image(Precision::Int8);
    let (tokens, allocations) = counted(|| {
        let image = Image::open(&bytes)?;
        let model = Model::new(&image);
        let mut state = STATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        model.session(&mut state)?;
        for _ in 0..3 {
            model.resume(&mut state)?.push_bytes(b"a b ");
        }
        Ok::<_, latch_engine::Error>(model.resume(&mut state)?.tokens())
    });
    assert_eq!((tokens, allocations), (Ok(6), 0));
}
