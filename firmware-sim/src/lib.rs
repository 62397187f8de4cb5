//! latch-firmware-sim
