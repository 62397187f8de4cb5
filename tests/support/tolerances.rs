//! The one table of tolerances: how close two floats must be, and why no closer.
//!
//! Integers have none: the integer path is the same bits everywhere.

/// A central difference of four points in f64 with a step of 1e-4 is off by about 1e-12 of the loss (rounding, divided by the step; the
/// series' rest is smaller). Relative to the larger of a derivative and a thousandth of its tensor's largest one, that is far below this.
pub const GRADIENT: f64 = 1e-6;

/// Keras computes in f64 as the trainer does: only the order of sums and the two libraries' exp and tanh differ, by a few ulp a step.
pub const KERAS_F64: f64 = 1e-12;

/// ONNX Runtime computes in f32, with an exp and tanh of its own: 20 steps of rounding at 2^-24, and its approximation of tanh.
pub const ONNX_F32: f64 = 2e-6;

/// The trainer in f32 against f64: its sigmoid is off by 2e-7, its tanh by 8e-7, and 20 steps add up.
pub const TRAINER_F32: f64 = 1e-5;

/// The engine's f32 image against f64: activations within 1.5e-7 (docs/numerics.md), sums of up to 40 products in f32, 20 steps.
pub const ENGINE_F32: f64 = 1e-5;

/// An f16 image: weights are rounded to 11 bits, 2^-12 relative; 20 steps of sums of up to 25 such products, and a head of up to 16.
pub const ENGINE_F16: f64 = 1e-2;

/// An int8 image, hidden state and logit: weights and the hidden state that goes round have steps of 1/127 of their largest value.
pub const ENGINE_INT8: f64 = 0.3;

/// Two backends on one float image: fused multiply-adds and other orders of the same sums, over up to 110 columns, 3 layers and 40 tokens.
pub const BACKENDS: f32 = 2e-5;
