//! What the data decides where nobody says it: the model of a small set of texts, and for how long it learns.
//!
//! Training is a matter of steps, not of passes: a small set is passed over more often. Below [`SMALL`] texts a few models are tried on the same random
//! divisions of the training part, and the smallest of the best is taken ([`choice`]). Neither validation nor test texts choose here.
//!
//! - [`candidates`] are the models that are tried.
//! - [`size`] cuts a model until its image fits.
//! - [`trials`] trains and judges them.

pub mod candidates;
pub mod choice;
pub mod size;
pub mod trials;

use crate::config::{RunConfig, TrainConfig, default_config};
use crate::dataset::{Example, Label};
use crate::learning::carried::updates;

/// Sets of fewer texts are small: of larger ones every default is fixed.
pub const SMALL: usize = 20_000;

/// Of fewer texts a tenth, below 200, is too few to choose an epoch by.
pub const FEW: usize = 2_000;

/// Of fewer texts nothing can be held out that would say which model is better.
pub const FEWEST: usize = 50;

/// The same of series, of which one says more than a text.
pub const FEWEST_SERIES: usize = 20;

/// Longer recordings with an answer at each step are learned in windows of [`CARRIED`] steps: whole, they would be learned from once an epoch, and no gradient goes so far.
const LONG: usize = 1_000;
const CARRIED: usize = 250;

/// Bytes that the int8 image of a default model may have.
pub const MOST_BYTES: usize = 64 << 10;

/// Steps that a small set is trained for, at most, where nothing stops it before.
const STEPS: usize = 16_000;

/// Most epochs of a small set.
const MOST_EPOCHS: u64 = 60;

/// Steps that a small set of series is trained for, and the most epochs for these: a few recordings are passed over more often than texts.
const SERIES: (usize, u64) = (1_000, 300);

/// The options that nobody gave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// The model.
    pub model: bool,
    /// The number of epochs.
    pub epochs: bool,
    /// The patience.
    pub patience: bool,
    /// The validation part.
    pub valid: bool,
}

/// Of fewer different examples of a run nothing can be held out that would say which model is better.
pub fn fewest(run: &RunConfig) -> usize {
    if run.series.is_some() { FEWEST_SERIES } else { FEWEST }
}

/// Epochs and patience for so many training texts of a set of so many `texts`, in batches of so many: of a small set about 16,000 steps, and a quarter of the epochs.
pub fn schedule(batch: usize, training: usize, texts: usize) -> (u64, u64) {
    let TrainConfig { epochs, patience, .. } = default_config();
    if texts >= SMALL {
        return (epochs, patience);
    }
    let steps = training.div_ceil(batch.max(1)).max(1);
    let epochs = (STEPS.div_ceil(steps) as u64).clamp(epochs, MOST_EPOCHS);
    (epochs, patience_of(epochs))
}

/// Epochs for training series: about 1,000 steps of the optimizer, and at least as many epochs as texts have.
pub fn schedule_of_series(config: &TrainConfig, training: &[Example<Label>]) -> u64 {
    let steps = updates(&lengths(training), config.batch.max(1), config.carry).max(1);
    (SERIES.0 as u64).div_ceil(steps).clamp(default_config().epochs, SERIES.1)
}

/// Steps of a window in which a recording is learned whose every step has an answer, where nobody says it; `None` of recordings that are learned whole.
pub fn carry_of(config: &TrainConfig, training: &[Example<Label>]) -> Option<usize> {
    let longest = lengths(training).into_iter().max().unwrap_or(0);
    let stride = config.model.chain.rhythm().stride;
    let is_long = config.task.each_step() && longest > LONG;
    is_long.then(|| CARRIED.next_multiple_of(stride.max(1)))
}

/// The steps of each series.
fn lengths(training: &[Example<Label>]) -> Vec<usize> {
    training.iter().filter_map(|example| Some(example.recording.as_ref()?.frames.steps())).collect()
}

/// The patience for so many epochs: a quarter of them, and at least 3.
pub fn patience_of(epochs: u64) -> u64 {
    (epochs / 4).max(default_config().patience)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::{Recording, Task};
    use latch_data::series::Frames;

    #[test]
    fn long_recordings_with_an_answer_at_each_step_are_carried_and_passed_over_less_often() {
        let recorded = |steps: usize| {
            let recording = Recording { frames: Frames::new(vec![0.0; steps], 1), first: 0 };
            Example::recorded(Label::Each(vec![0.0; steps]), "a", recording)
        };
        let of = |task, model: &str| TrainConfig { task, model: model.parse().expect("a model"), ..default_config() };
        let plain = of(Task::RegressEach, "samples 1 > gru 4");
        let (short, long) = ([recorded(1_000)], [recorded(100_000)]);
        assert_eq!(carry_of(&plain, &short), None);
        assert_eq!(carry_of(&plain, &long), Some(250));
        assert_eq!(carry_of(&of(Task::RegressEach, "samples 1 > conv1d 4 k5 s4 > gru 4"), &long), Some(252));
        assert_eq!(carry_of(&of(Task::Classify(2), "samples 1 > gru 4 > last"), &long), None);
        assert_eq!(schedule_of_series(&plain, &short), 300);
        assert_eq!(
            schedule_of_series(&TrainConfig { carry: Some(250), ..plain.clone() }, &long),
            default_config().epochs
        );
        assert_eq!(schedule_of_series(&TrainConfig { carry: Some(2_000), ..plain }, &long), 20);
    }

    #[test]
    fn a_small_set_is_passed_over_more_often_and_a_large_one_as_ever() {
        let TrainConfig { epochs, patience, batch, .. } = default_config();
        assert_eq!(schedule(batch, 22_500, 25_000), (epochs, patience));
        assert_eq!(schedule(batch, 18_000, 20_000), (epochs, patience));
        assert_eq!(schedule(batch, 180, 200), (60, 15));
        assert_eq!(schedule(batch, 5_444, 5_444), (60, 15));
        assert_eq!(schedule(batch, 17_100, 19_000), (30, 7));
        assert_eq!(schedule(1, 17_100, 19_000), (10, 3));
        assert_eq!(schedule(usize::MAX, 100, 100), (60, 15));
    }
}
