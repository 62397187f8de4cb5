//! What a reader of a format gives: recordings, with targets made of the words that stand in the file.

use std::path::Path;

use anyhow::Result;

use super::{SeriesReading, Target};
use crate::dataset::classes::Coder;
use crate::dataset::{Part, Place, list, quoted};
use crate::error::{Fault, fault};

/// A recording as a reader gives it.
pub(super) struct Recording {
    /// What the source calls it.
    pub(super) id: Option<String>,
    /// The values of the chosen channels, frame after frame; NaN where one is missing and is to be filled.
    pub(super) values: Vec<f32>,
    /// The target, with classes in the order in which they first occurred.
    pub(super) target: Target,
    pub(super) place: Place,
}

/// A reader of one format.
pub(super) trait Source {
    /// The next recording; `None` at the end.
    fn read(&mut self, answers: &mut Answers) -> Result<Option<Recording>>;

    /// The names of the channels. They are asked for behind the last recording.
    fn channels(&self) -> Vec<String>;

    /// The names of the numbers of a target, where the source has names.
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// The frames a second, where the source says it.
    fn rate(&self) -> Option<u32> {
        None
    }

    /// What is not the plain case, in words: what was found where.
    fn layout(&self) -> Vec<String>;
}

/// From words to targets.
pub(super) struct Answers {
    pub(super) coder: Option<Coder>,
    /// The smallest and the largest label, and how many there were.
    range: Option<(f32, f32)>,
    labels: u64,
}

impl Answers {
    pub(super) fn new(reading: &SeriesReading) -> Self {
        Self { coder: reading.labels().as_ref().map(Coder::new), range: None, labels: 0 }
    }

    /// The number of a class, or the number that a word writes.
    ///
    /// # Errors
    /// A fault at `place` that shows the word.
    pub(super) fn number(&mut self, word: &str, place: &Place) -> Result<f32, Fault> {
        let Some(coder) = &mut self.coder else { return Ok(0.0) };
        let number = coder.number(word, place)?;
        let (low, high) = self.range.unwrap_or((number, number));
        self.range = Some((low.min(number), high.max(number)));
        self.labels += 1;
        Ok(number)
    }

    /// The target of a whole recording that these words write: none where no label is read, else a class, or numbers.
    ///
    /// # Errors
    /// As [`Answers::number`].
    pub(super) fn whole(&mut self, words: &[&str], place: &Place) -> Result<Target, Fault> {
        let Some(coder) = &self.coder else { return Ok(Target::None) };
        if coder.task().has_values() {
            return words.iter().map(|word| self.number(word, place)).collect::<Result<_, _>>().map(Target::Values);
        }
        Ok(Target::Class(self.number(words.first().copied().unwrap_or_default(), place)? as u32))
    }

    /// Checks the labels as a whole.
    ///
    /// # Errors
    /// A fault if all are the same, in a part to learn from.
    pub(super) fn verdict(&self, path: &Path, part: Part) -> Result<(), Fault> {
        let (Some(coder), Some((low, high))) = (&self.coder, self.range) else { return Ok(()) };
        if low != high || part == Part::Test {
            return Ok(());
        }
        let label = match coder.names.get(low as usize) {
            Some(name) if !coder.task().has_values() => quoted(name),
            _ => low.to_string(),
        };
        let problem = format!("all {} labels are {label}", self.labels);
        let remedy = "add series with other labels, or name another column with --label-column";
        Err(fault(path.display(), problem, remedy))
    }

    /// Checks that each label of `--label-map` occurred, in a part to learn from.
    ///
    /// # Errors
    /// A fault that names one that did not.
    pub(super) fn unused(&self, path: &Path, part: Part) -> Result<(), Fault> {
        let Some(coder) = &self.coder else { return Ok(()) };
        match coder.unused() {
            Some(label) if part == Part::Train => {
                let (place, names) = (path.display(), list(&coder.names));
                let problem = format!("no label of {place} is {}; its classes are {names}", quoted(label));
                Err(fault("--label-map", problem, "correct the label's name, or leave it out"))
            }
            _ => Ok(()),
        }
    }
}
