//! Saturation
