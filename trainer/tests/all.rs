//! The command `latch` and the files that it writes, one subject a file.

#[path = "support/goldens.rs"]
mod goldens;
#[path = "support/latch.rs"]
mod support;

mod audio_models;
mod bad_input;
mod bad_series;
mod budget;
mod calibrate;
mod chains;
mod classes;
mod command;
mod config_file;
mod data_files;
mod elsewhere;
mod figures;
mod float_layers;
mod frameworks;
mod imports;
mod keras_files;
mod ngrams;
mod one_image;
mod onnx_files;
mod onward;
mod outliers;
mod outputs;
mod pytorch_files;
mod report;
mod resume;
mod small_sets;
mod tflite_files;
mod token_kinds;
mod verbs;
