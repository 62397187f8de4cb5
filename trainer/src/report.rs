//! Reports: one module for each picture, and tables for the terminal. Pictures are SVG, and PNG from it; they are readable on a light and on a dark ground.

pub mod axis;
pub mod bytes;
pub mod classes;
pub mod confusion;
pub mod curves;
pub mod diagram;
pub mod image;
pub mod latency;
pub mod layers;
pub mod pareto;
pub mod png;
pub mod reliability;
pub mod scatter;
pub mod signal;
pub mod svg;
pub mod table;
pub mod trail;

pub use table::{COLUMNS, paragraph, table};
