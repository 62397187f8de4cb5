//! What to read from a source of series, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataset::{Columns, Reading, Task};

/// What is to be learned of a series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeriesTask {
    /// A class a recording.
    #[default]
    Classify,
    /// One number a recording, or several.
    Regress,
    /// A class a step.
    Tag,
    /// One number a step, or several.
    RegressEach,
    /// The series' own future. Labels are not read.
    Forecast,
}

impl SeriesTask {
    /// Its name as `--task` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Regress => "regress",
            Self::Tag => "tag",
            Self::RegressEach => "regress-each",
            Self::Forecast => "forecast",
        }
    }

    /// The task of labels; `None` where there are none.
    #[must_use]
    pub fn labels(self) -> Option<Task> {
        match self {
            Self::Classify => Some(Task::Classify(0)),
            Self::Regress => Some(Task::Regress),
            Self::Tag => Some(Task::Tag(0)),
            Self::RegressEach => Some(Task::RegressEach),
            Self::Forecast => None,
        }
    }

    /// Whether each step has a label of its own.
    #[must_use]
    pub fn each_step(self) -> bool {
        matches!(self, Self::Tag | Self::RegressEach)
    }

    /// Whether a label is a class.
    #[must_use]
    pub fn has_classes(self) -> bool {
        matches!(self, Self::Classify | Self::Tag)
    }
}

/// What becomes of a value that is missing: `--missing`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// A fault that names it.
    #[default]
    Refuse,
    /// The channel's value before it; at the start of a recording the first one behind it.
    Hold,
    /// Zero.
    Zero,
}

/// How channels and labels are found where the file does not say it. A column is its name, or its number from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesColumns {
    /// The channels in the order that a network is to have them: `--channels`. Empty for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// The column of the label, or those of several numbers: `--label-column`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The column that says to which recording a row belongs: `--series-column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// The column of the time, which is no channel: `--time-column`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Labels that are read as others: `--label-map`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub map: BTreeMap<String, String>,
    /// The encoding of text files without a byte-order mark; UTF-8 where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// What to read from a source, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesReading {
    /// What is to be learned.
    pub task: SeriesTask,
    /// What becomes of a missing value.
    pub missing: Missing,
    /// Where channels and labels are.
    pub columns: SeriesColumns,
    /// The names of the classes in their order, where they are known: any other label is a fault. Empty where they are collected from the labels.
    pub classes: Vec<String>,
    /// Of series that are to be answered, whether a row of a table or an array is a step; else a row of several values is a series of one channel.
    /// `None` where series are learned from or judged, and the file tells it.
    pub rows_are_steps: Option<bool>,
}

impl SeriesReading {
    /// All channels for a task, where the file says where they are; classes are collected.
    #[must_use]
    pub fn of(task: SeriesTask) -> Self {
        Self { task, ..Self::default() }
    }

    /// Series that a network of so many channels is to answer. Labels are not read.
    #[must_use]
    pub fn to_answer(channels: usize) -> Self {
        Self { rows_are_steps: Some(channels > 1), ..Self::of(SeriesTask::Forecast) }
    }

    /// One series with a row a step. Labels are not read.
    #[must_use]
    pub fn one_series() -> Self {
        Self { rows_are_steps: Some(true), ..Self::of(SeriesTask::Forecast) }
    }

    /// With missing values filled so.
    #[must_use]
    pub fn filling(self, missing: Missing) -> Self {
        Self { missing, ..self }
    }

    /// With channels and labels in these columns.
    #[must_use]
    pub fn within(self, columns: SeriesColumns) -> Self {
        Self { columns, ..self }
    }

    /// With these classes and no others. A task of numbers has none.
    #[must_use]
    pub fn among(self, classes: &[String]) -> Self {
        Self { classes: if self.task.has_classes() { classes.to_vec() } else { Vec::new() }, ..self }
    }

    /// The labels in the words of a reader of texts.
    pub(super) fn labels(&self) -> Option<Reading> {
        let columns = Columns { map: self.columns.map.clone(), ..Columns::default() };
        Some(Reading::of(self.task.labels()?).within(columns).among(&self.classes))
    }
}
