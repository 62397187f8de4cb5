//! latch-benches
