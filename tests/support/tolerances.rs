//! The one table of tolerances: how close two floats must be, and why no closer.
//!
//! Integers have none: the integer path is the same bits everywhere.

/// A central difference of four points in f64 with a step of 1e-3 is off by about 1e-13 (the loss is rounded at 2^-53, divided by the
/// step; the series' rest is smaller). The smallest tensors have derivatives of 1e-4, and differences are relative to the larger of a
/// derivative and a thousandth of its tensor's largest one: 1e-13 / 1e-7.
pub const GRADIENT: f64 = 1e-6;

/// Keras computes in f64 as the trainer does: only the order of sums and the two libraries' exp and tanh differ, by a few ulp a step (measured: 9e-16).
pub const KERAS_F64: f64 = 1e-14;

/// ONNX Runtime computes in f32, with an exp and tanh of its own: 20 steps of rounding at 2^-24, and its approximation of tanh (measured: 6e-7).
pub const ONNX_F32: f64 = 2e-6;

/// The trainer in f32 against f64: its sigmoid is off by 2e-7, its tanh by 8e-7, and 20 steps add up (measured: 8e-7).
pub const TRAINER_F32: f64 = 4e-6;

/// PyTorch and Keras in f32 against the trainer in f64, for a logit after up to 16 steps of two layers: their own rounding (measured: 8e-8).
pub const FRAMEWORK_F32: f64 = 5e-7;

/// The engine's f32 image against f64: activations within 1.5e-7 (docs/numerics.md), sums of up to 24 products in f32, 20 steps
/// (measured: 9e-7).
pub const ENGINE_F32: f64 = 4e-6;

/// An f16 image: weights are rounded to 11 bits, 2^-12 relative; 20 steps of sums of up to 25 such products, and a head of up to 16
/// (measured: 2.5e-3).
pub const ENGINE_F16: f64 = 8e-3;

/// An int8 image, hidden state and logit: weights and the hidden state that goes round have steps of 1/127 of their largest value, half of
/// which is lost 20 times over (measured: 0.033).
pub const ENGINE_INT8: f64 = 0.1;

/// An int16 image, likewise: weights and hidden states have steps of 1/32767 of their largest value, gates and cells those of int8
/// (measured: 7.4e-4).
pub const ENGINE_INT16: f64 = 2e-3;

/// Two backends on one float image, or a float image and the same with a folded embedding: fused multiply-adds and other orders of the same sums, over up to 140 columns, 3 layers and 40
/// tokens, relative to 1 + the logit (measured: below 3e-6 in 5,000 random models).
pub const BACKENDS: f32 = 5e-6;

/// Two backends, or a backend and f64, on a random chain of up to nine layers of up to 257 units: as [`BACKENDS`], with rectifiers and linear layers that
/// hand errors on at their full size, and sums of up to 514 products.
pub const CHAINS: f32 = 5e-5;

/// f16 and f32 images of one random model, in lengths of the head (see numerics.rs), over 60 tokens
/// (measured over 720 models: 9.5e-4 at worst, 1.1e-4 on average).
pub const QUANTIZED_F16: f32 = 4e-3;

/// int8 and f32 images of one random model, likewise (measured: 0.020 at worst, 0.0028 on average).
pub const QUANTIZED_INT8: f32 = 0.06;

/// int16 and f32 images of one random model, likewise (measured: 9.3e-4 at worst, 1.1e-4 on average).
pub const QUANTIZED_INT16: f32 = 2e-3;

/// The sigmoid in integers against the one in floats: the logit is rounded to 2^-12, which a slope of 1/4 makes 2^-15, and the
/// activation is off by 0.7 * 2^-15.
pub const PROBABILITY_Q15: f32 = 2.0 / 32_768.0;
