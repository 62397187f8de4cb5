//! Evaluation
