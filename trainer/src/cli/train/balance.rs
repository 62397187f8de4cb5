//! The options of `latch train` about classes of different size.

use crate::config::{ClassWeights, Select, Threshold};

/// What a training does about classes of different size.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BalanceArgs {
    /// How much each class counts in the loss: none (each example alike), smoothed (those of rare classes a little more: by the inverse fourth root of the class's size), balanced (each class alike, however few
    /// examples it has), auto (none; where models are tried and there are three classes or more of very different size, what is better of none and smoothed), or weights of classes, as in ham=1,spam=20. Only their ratios count
    #[arg(long, value_name = "WEIGHTS", default_value_t = ClassWeights::Auto)]
    pub(super) class_weights: ClassWeights,
    /// By what the best epoch is chosen on the validation part
    #[arg(long, value_enum, default_value = "loss")]
    pub(super) select: Select,
    /// What the threshold between two classes is chosen for on the validation part: half leaves it at a probability of a half, f1 takes the highest F1 of the class that
    /// fewer examples have. The image answers by it
    #[arg(long, value_enum, default_value = "half", hide_possible_values = true)]
    pub(super) threshold: Threshold,
}
