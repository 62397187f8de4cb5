//! The memory that reading a file takes.

// The counter is a global allocator, and `GlobalAlloc` is an unsafe trait. Nothing else in this file is unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use latch_interchange::{Limits, open};

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
pub(crate) const FREE: usize = 1 << 20;

/// Whether the file is read, and the memory that it takes besides itself.
pub(crate) fn measured(bytes: &[u8]) -> (Result<(), String>, usize) {
    let before = LIVE.load(Relaxed);
    MOST.store(before, Relaxed);
    let read = open(bytes, "net", &LIMITS).map(drop).map_err(|error| error.to_string());
    (read, MOST.load(Relaxed) - before)
}
