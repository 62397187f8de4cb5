//! An image judged by a pair of signals: what it reads, and what it is to give at each step, as those of a pedal and its recording.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use latch_data::series::{self, SeriesReading, sound_of};
use latch_engine::Model;
use latch_engine::image::header::AnswerKind;

use crate::counted::counted;
use crate::dataset::Part;
use crate::error::{Fault, fault};
use crate::evaluate::state_for;
use crate::metrics::signals::Distance;
use crate::outputs::outputs_of;

/// What goes in, and what is to come out.
#[derive(Clone, Debug)]
pub struct Pair {
    /// `steps × channels`.
    frames: Vec<f32>,
    /// A value a step.
    target: Vec<f32>,
}

/// What an image gives for a pair.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Steps.
    pub steps: usize,
    /// How far the image's answers are from the target.
    pub distance: Distance,
    /// Wall time of a step on this host.
    pub ns_per_step: f64,
}

impl Pair {
    /// Reads the input of a model of so many channels and its target, each one series with a row a step.
    ///
    /// # Errors
    /// A fault where one cannot be read, has other channels, where they differ in rate or length, and where the target is silent.
    pub fn read(input: &Path, target: &Path, channels: usize) -> Result<Self> {
        let (frames, goal) = (one(input, channels, "the image reads")?, one(target, 1, "an answer has")?);
        if let (Some(read), Some(given)) = (sound_of(input)?, sound_of(target)?)
            && read.rate != given.rate
        {
            let problem = format!("its rate is {} Hz, and that of {} {} Hz", given.rate, input.display(), read.rate);
            return Err(fault(target.display(), problem, "convert one of them to the rate of the model").into());
        }
        let steps = frames.len() / channels.max(1);
        if steps != goal.len() {
            let input = format!("{} has {}", input.display(), counted(steps, "step"));
            let problem = format!("it has {}, and {input}", counted(goal.len(), "step"));
            return Err(fault(target.display(), problem, "give two that begin and end together").into());
        }
        if goal.iter().all(|value| *value == 0.0) {
            return Err(fault(target.display(), "it is silent, so that nothing can be compared", "name another").into());
        }
        Ok(Pair { frames, target: goal })
    }

    /// Runs an image over the input from its beginning, and compares its answers.
    ///
    /// # Errors
    /// A fault naming the image where it does not answer a value at each step.
    pub fn judge(&self, model: &Model<'_>, place: &Path) -> Result<Judged> {
        check(model, place)?;
        let mut memory = vec![0; model.packed_bytes()];
        let model = model.clone().pack(&mut memory)?;
        let mut state = state_for(&model);
        let mut session = model.session_in(&mut state)?;
        let begun = Instant::now();
        let found = outputs_of(&mut session, &self.frames)?.values;
        let steps = self.target.len();
        let ns_per_step = begun.elapsed().as_nanos() as f64 / steps.max(1) as f64;
        Ok(Judged { steps, distance: Distance::of(&found, &self.target), ns_per_step })
    }
}

/// Refuses an image that does not answer a value at each step of samples.
///
/// # Errors
/// Names the image.
pub fn check(model: &Model<'_>, place: &Path) -> Result<(), Fault> {
    let answer = model.answer();
    let problem = if model.channels() == 0 {
        "this image reads texts, and no samples"
    } else if answer.kind != AnswerKind::Values || model.outputs() != 1 {
        "this image answers with classes, and a target has values"
    } else if !answer.each_step {
        "this image answers once a series, and a target has a value at each step"
    } else {
        return Ok(());
    };
    Err(fault(place.display(), problem, "leave --target out, and give labelled --data"))
}

/// The frames of the one series of a file.
fn one(path: &Path, channels: usize, who: &str) -> Result<Vec<f32>> {
    let set = series::load(path, Part::Test, &SeriesReading::one_series())?;
    let found = set.channels.len();
    let (problem, remedy) = match &set.series[..] {
        [one] if found == channels => return Ok(one.frames.to_vec()),
        [_] => (format!("it has {}, and {who} {channels}", counted(found, "channel")), "write those alone into a file"),
        all => (format!("it has {} series", all.len()), "give one of them as a file of its own"),
    };
    Err(fault(path.display(), problem, remedy).into())
}
