//! What is read of series and of their samples: `--window` and the like, and `scale=` and the like of a model.

use latch_data::dataset::Columns;
use latch_data::series::{Missing, SeriesColumns};
use latch_engine::input::samples::{Samples, Skip};
use serde::{Deserialize, Serialize};

/// How the channels of samples are scaled: `scale=` of a model's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scaled {
    /// To a mean of 0 and a deviation of 1 on the training part.
    #[default]
    Standardize,
    /// From the smallest and the largest value of the training part to -1 and 1.
    Minmax,
    /// As they are.
    None,
}

impl Scaled {
    /// All of them.
    pub const ALL: [Self; 3] = [Scaled::Standardize, Scaled::Minmax, Scaled::None];

    /// As it is written in a model.
    pub fn name(self) -> &'static str {
        match self {
            Scaled::Standardize => "standardize",
            Scaled::Minmax => "minmax",
            Scaled::None => "none",
        }
    }
}

/// What a network reads of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SamplesConfig {
    /// How channels are scaled.
    pub scaled: Scaled,
    /// Frames between the two samples of a difference that is read in place of a sample; 0 for none.
    pub difference: u16,
    /// What scaled values are cut to, on both sides.
    pub clip: Option<f32>,
    /// What goes around the network to the answer.
    pub skip: Option<Skip>,
}

impl SamplesConfig {
    /// The input of an image that reads so many channels.
    pub fn shape(&self, channels: usize) -> Samples {
        Samples { channels: channels as u16, lag: self.difference, skip: self.skip }
    }
}

/// What is read of series, and how: `--window` and the like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesConfig {
    /// Where channels and labels are.
    pub columns: SeriesColumns,
    /// What becomes of missing values.
    pub missing: Missing,
    /// Steps of a window and from one to the next; `None` for whole recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<(usize, usize)>,
    /// Steps from a forecast to what it is about; `None` of other tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon: Option<usize>,
    /// The channel that is forecast, counted from 0; the data's reader finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast_channel: Option<usize>,
    /// Steps of its season in the recordings that are learned from, where these show one; the data's reader finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season: Option<usize>,
}

impl SeriesConfig {
    /// How other data is read: as that of the run, but for what is said of its labels, its encoding and its missing values.
    #[must_use]
    pub fn read_as(&self, columns: &Columns, missing: Option<Missing>) -> Self {
        let mut config = self.clone();
        if let Some(label) = &columns.label {
            config.columns.labels = label.split(',').map(|label| label.trim().to_owned()).collect();
        }
        config.columns.map.extend(columns.map.clone());
        config.columns.encoding = columns.encoding.clone().or(config.columns.encoding);
        config.missing = missing.unwrap_or(config.missing);
        config
    }
}
