//! Published sets of series and what they look like.

use anyhow::Result;

use super::{SeriesSet, SeriesTask};

/// A published set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Published {
    /// Nine speakers say two vowels: 12 channels, 7 to 29 steps, 9 classes, 270 and 370 series (Kudo, Toyama and Shimbo 1999).
    JapaneseVowels,
    /// A smart watch while its wearer stands, walks, runs or plays badminton: 6 channels, 100 steps, 4 classes, 40 and 40 series.
    BasicMotions,
    /// A day's electrical power demand in winter or summer: 1 channel, 24 steps, 2 classes, 67 and 1,029 series.
    ItalyPower,
    /// Monthly international airline passengers in thousands, 1949 to 1960: 96 and 48 months.
    Airline,
}

/// What a set looks like.
pub(super) struct Shape {
    pub(super) task: SeriesTask,
    pub(super) channels: usize,
    /// The fewest and the most steps of a series.
    pub(super) steps: [usize; 2],
    pub(super) classes: &'static [&'static str],
    /// The series of the training and the test part.
    pub(super) counts: [usize; 2],
}

impl Published {
    /// All of them.
    pub const ALL: [Published; 4] = [Self::JapaneseVowels, Self::BasicMotions, Self::ItalyPower, Self::Airline];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JapaneseVowels => "japanese-vowels",
            Self::BasicMotions => "basic-motions",
            Self::ItalyPower => "italy-power",
            Self::Airline => "airline",
        }
    }

    /// What it is, in a line of help.
    #[must_use]
    pub fn summary(self) -> &'static str {
        match self {
            Self::JapaneseVowels => {
                "Series: nine speakers say two vowels, 12 channels; fetched once with pip and then kept"
            }
            Self::BasicMotions => "Series: four activities on a smart watch, 6 channels; likewise",
            Self::ItalyPower => "Series: a day's electrical power demand in winter or summer; likewise",
            Self::Airline => "A series to forecast: airline passengers by month, 1949 to 1960; likewise",
        }
    }

    pub(super) fn shape(self) -> Shape {
        let shape =
            |channels, steps, classes, counts| Shape { task: SeriesTask::Classify, channels, steps, classes, counts };
        match self {
            Self::JapaneseVowels => shape(12, [7, 29], &["1", "2", "3", "4", "5", "6", "7", "8", "9"], [270, 370]),
            Self::BasicMotions => shape(6, [100, 100], &["Badminton", "Running", "Standing", "Walking"], [40, 40]),
            Self::ItalyPower => shape(1, [24, 24], &["1", "2"], [67, 1029]),
            Self::Airline => {
                Shape { task: SeriesTask::Forecast, channels: 1, steps: [144, 144], classes: &[], counts: [1, 1] }
            }
        }
    }
}

/// The first two thirds of a series and the last one, in time.
pub(super) fn in_thirds(set: &SeriesSet) -> Result<[SeriesSet; 2]> {
    let parts = set.split_in_time([2.0 / 3.0, 1.0 / 3.0])?;
    Ok(parts.map(|part| part.with_context_of(0)))
}
