//! Time series: where recordings come from, how they are checked, divided and cut.
//!
//! A recording is a [`Series`]: frames of the same channels, one after the other in time, with a [`Target`]. [`load`] reads a [`SeriesSet`] from a
//! file or folder in any format below. What a trainer does with it comes in this order:
//!
//! 1. `load(path, part, &reading)` — the set, the sentence of how it was read ([`SeriesSet::layout`]) and what is odd ([`SeriesSet::notes`]);
//! 2. [`SeriesSet::split`] or [`SeriesSet::fold`] — by recording, evenly by class, equal recordings together; one long recording is cut in time.
//!    A held-out part that comes as a file of its own joins its past by [`SeriesSet::following`];
//! 3. [`SeriesSet::windows`] — recordings cut into windows; or [`SeriesSet::forecast`], which makes the targets from the series itself.
//!
//! Cutting costs no copy: all pieces share the recording's [`Frames`]. A piece may begin with steps that are only context: those before
//! [`Series::first`] are read by a network and asked nothing, because they lie in an earlier part or window. So no step is scored twice, and no target
//! of a part to learn from lies in the held-out time.
//!
//! | path | what it holds |
//! | --- | --- |
//! | `.ts` | the format of the UCR and UEA archives, one or more channels, equal or unequal lengths |
//! | `.csv`, `.tsv`, `.txt` | a table with a row a time step, or a row a series; columns are found by their names, by options, or by what stands in them |
//! | `.npy`, `.npz` | an array `[series, steps, channels]` or `[series, steps]`, and one of labels |
//! | a folder with a folder for each class | a recording in each file, `.csv` or `.wav` |
//! | a folder with a file a part | `train.ts`, `NAME_TRAIN.ts`, … in any format above and below; the [`Part`] picks one |
//!
//! [`SeriesReading::to_answer`] reads recordings that a network is to answer, without labels. [`write_numbers`] writes what it answers as a table of
//! numbers.
//!
//! [`fetch`] brings published sets, or generated ones of the same shape where there is no network.
//!
//! Values are `f32` and finite. A missing one (`?`, `NaN`, an empty cell) is named and refused, or filled as [`Missing`] says. Text files may be
//! compressed (`.gz`), and are read line by line; the frames that are kept count as [`memory_limit`](crate::dataset::memory_limit) says.
//!
//! Labels are words, as those of texts: the same classes in the same order, the same `--label-map`, the same refusal of an unknown one.

mod columns;
pub mod fetch;
mod folder;
mod forecast;
mod gather;
mod generated;
mod npy;
mod numbers;
mod parts;
mod published;
mod reading;
mod rows;
mod source;
mod split;
mod table;
mod ts;
mod values;
mod wav;
mod windows;

use std::path::Path;

use anyhow::Result;
use sha2::{Digest, Sha256};

use crate::dataset::{Part, hex};
pub use crate::frames::{Frames, MAX_CHANNELS};
pub use forecast::{Forecasting, SEASONAL};
pub use npy::NO_LABELS;
pub use numbers::{NumbersFormat, write_numbers};
pub use parts::{has_part, locate, looks_like_series};
pub use published::Published;
pub use reading::{Missing, SeriesColumns, SeriesReading, SeriesTask};
pub use ts::{stage_ts_gz, write_ts_gz};
pub use values::Filled;
pub use wav::{Sound, sound_of};

/// What is to be answered of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Nothing: its own future is the target, see [`SeriesSet::forecast`].
    None,
    /// A class of the whole recording.
    Class(u32),
    /// A number for each of [`SeriesSet::outputs`], of the whole recording.
    Values(Vec<f32>),
    /// A class for each step.
    Classes(Vec<u32>),
    /// A number for each of [`SeriesSet::outputs`] at each step, step by step.
    EachValues(Vec<f32>),
}

impl Target {
    /// Whether there is an answer for each step, and not one for the whole.
    #[must_use]
    pub fn each_step(&self) -> bool {
        matches!(self, Target::Classes(_) | Target::EachValues(_))
    }

    /// The class by which a set is divided evenly; 0 of what is no class of a whole recording.
    fn stratum(&self) -> u32 {
        if let Target::Class(class) = self { *class } else { 0 }
    }

    /// Gives the classes other numbers: class `k` becomes `numbers[k]`.
    fn renumber(&mut self, numbers: &[u32]) {
        match self {
            Target::Class(class) => *class = numbers[*class as usize],
            Target::Classes(classes) => classes.iter_mut().for_each(|class| *class = numbers[*class as usize]),
            Target::None | Target::Values(_) | Target::EachValues(_) => {}
        }
    }

    /// This one and then another, of steps that follow; `None` where they are of two kinds. A target of a whole recording is the other's.
    fn joined(&self, next: &Self) -> Option<Self> {
        match (self, next) {
            (Target::Classes(a), Target::Classes(b)) => Some(Target::Classes([&a[..], b].concat())),
            (Target::EachValues(a), Target::EachValues(b)) => Some(Target::EachValues([&a[..], b].concat())),
            (a, b) if a.each_step() || b.each_step() => None,
            (_, whole) => Some(whole.clone()),
        }
    }

    /// That of the steps `from..to`, with so many values a step.
    fn cut(&self, from: usize, to: usize, outputs: usize) -> Self {
        match self {
            Target::Classes(classes) => Target::Classes(classes[from..to].to_vec()),
            Target::EachValues(values) => Target::EachValues(values[from * outputs..to * outputs].to_vec()),
            whole => whole.clone(),
        }
    }

    fn digest(&self, digest: &mut Sha256) {
        let kind: u8 = match self {
            Target::None => 0,
            Target::Class(_) => 1,
            Target::Values(_) => 2,
            Target::Classes(_) => 3,
            Target::EachValues(_) => 4,
        };
        digest.update([kind]);
        match self {
            Target::None => {}
            Target::Class(class) => digest.update(class.to_le_bytes()),
            Target::Classes(classes) => classes.iter().for_each(|class| digest.update(class.to_le_bytes())),
            Target::Values(values) | Target::EachValues(values) => {
                values.iter().for_each(|value| digest.update(value.to_le_bytes()));
            }
        }
    }
}

/// A recording, or a piece of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the source calls the recording; its number from 1 where it has no name. Pieces keep it.
    pub id: String,
    /// The step of the recording at which this piece begins.
    pub start: usize,
    /// The values: frame after frame, in each a value for each of [`SeriesSet::channels`].
    pub frames: Frames,
    /// The first step of which the answer counts; the steps before it are context.
    pub first: usize,
    /// What is to be answered.
    pub target: Target,
    /// Where it stands: `path:line`, or the path of a file with one recording.
    pub place: String,
}

impl Series {
    /// The number of frames.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.frames.steps()
    }

    /// The piece of the steps `from..to`.
    fn cut(&self, from: usize, to: usize, outputs: usize) -> Self {
        Self {
            id: self.id.clone(),
            start: self.start + from,
            frames: self.frames.cut(from, to),
            first: self.first.saturating_sub(from),
            target: self.target.cut(from, to, outputs),
            place: self.place.clone(),
        }
    }
}

/// What a channel holds, over all frames of a set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChannelStatistics {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, that of the frames themselves; 0 of a constant channel.
    pub deviation: f64,
    /// The smallest value.
    pub low: f32,
    /// The largest value.
    pub high: f32,
}

impl ChannelStatistics {
    /// Whether all values are the same, so that there is nothing to divide by.
    #[must_use]
    pub fn is_constant(&self) -> bool {
        self.low == self.high
    }
}

/// Recordings in memory, with the digest that says which ones they are.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSet {
    /// What to call it: the file's or folder's name without its extension.
    pub name: String,
    /// What is to be learned.
    pub task: SeriesTask,
    /// The names of the channels, by which the values of a frame stand; their numbers from 1 where the source has no names.
    pub channels: Vec<String>,
    /// The names of the classes in the order of their numbers; empty of numbers.
    pub classes: Vec<String>,
    /// The names of the numbers of a target; empty of classes.
    pub outputs: Vec<String>,
    /// The recordings, in the order of the source or of the split.
    pub series: Vec<Series>,
    /// SHA-256 of the channels' number and of each recording's target and frames, 64 lower-case hexadecimal digits; see [`SeriesSet::digested`].
    pub sha256: String,
    /// How it was read, in words: what was found where. Empty in the plain case.
    pub layout: String,
    /// How many missing values were filled.
    pub filled: Filled,
    /// What is odd, a sentence each: a constant channel, filled values, recordings of one step.
    pub notes: Vec<String>,
}

impl SeriesSet {
    /// The same with its digest, SHA-256 over the number of channels (u64, little endian) and for each recording in order: the kind of its target (a
    /// byte), the target (u32 or f32, little endian), the first step that counts and the steps (u64), and the values (f32). It does not depend on
    /// the format that the recordings came from, on their names, or on those of channels and classes.
    fn digested(mut self) -> Self {
        let mut digest = Sha256::new();
        digest.update((self.channels.len() as u64).to_le_bytes());
        let mut bytes = Vec::new();
        for series in &self.series {
            series.target.digest(&mut digest);
            digest.update((series.first as u64).to_le_bytes());
            digest.update((series.steps() as u64).to_le_bytes());
            bytes.clear();
            bytes.extend(series.frames.iter().flat_map(|value| value.to_le_bytes()));
            digest.update(&bytes);
        }
        self.sha256 = hex(&digest.finalize());
        self
    }

    /// The same set with other recordings.
    fn with(&self, series: Vec<Series>) -> Self {
        Self {
            name: self.name.clone(),
            task: self.task,
            channels: self.channels.clone(),
            classes: self.classes.clone(),
            outputs: self.outputs.clone(),
            series,
            sha256: String::new(),
            layout: self.layout.clone(),
            filled: Filled::default(),
            notes: Vec::new(),
        }
        .digested()
    }

    /// The number of recordings of each class, a number for each of [`SeriesSet::classes`].
    #[must_use]
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for series in &self.series {
            if let Target::Class(class) = series.target {
                counts[class as usize] += 1;
            }
        }
        counts
    }

    /// The steps of the shortest and of the longest recording; zeros of an empty set.
    #[must_use]
    pub fn lengths(&self) -> (usize, usize) {
        let steps = || self.series.iter().map(Series::steps);
        (steps().min().unwrap_or(0), steps().max().unwrap_or(0))
    }

    /// What each channel holds, over all frames of all recordings.
    #[must_use]
    pub fn statistics(&self) -> Vec<ChannelStatistics> {
        let channels = self.channels.len();
        let frames = || self.series.iter().flat_map(|series| series.frames.chunks_exact(channels));
        let count = frames().count().max(1) as f64;
        let mut means = vec![0.0; channels];
        let mut ranges = vec![(f32::INFINITY, f32::NEG_INFINITY); channels];
        for frame in frames() {
            for ((mean, range), &value) in means.iter_mut().zip(&mut ranges).zip(frame) {
                *mean += f64::from(value) / count;
                *range = (range.0.min(value), range.1.max(value));
            }
        }
        let mut squares = vec![0.0; channels];
        for frame in frames() {
            for ((square, mean), &value) in squares.iter_mut().zip(&means).zip(frame) {
                *square += (f64::from(value) - mean).powi(2) / count;
            }
        }
        let all = means.into_iter().zip(squares).zip(ranges);
        all.map(|((mean, square), (low, high))| {
            let deviation = if low == high { 0.0 } else { square.sqrt() };
            ChannelStatistics { mean, deviation, low, high }
        })
        .collect()
    }
}

/// Loads all recordings of `path`; of a folder with several parts, `part`.
///
/// # Errors
/// A [`Fault`](crate::error::Fault) that names the file, the line and the value, if it cannot be read or something in it is wrong: see the formats above.
pub fn load(path: &Path, part: Part, reading: &SeriesReading) -> Result<SeriesSet> {
    gather::load(path, part, reading, crate::dataset::memory_limit())
}

#[cfg(test)]
mod tests;
