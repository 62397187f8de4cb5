//! What `latch data` can bring or make.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::series::Published;

/// The data sets that need no file of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// 25,000 film reviews.
    Imdb,
    /// Made-up reviews.
    BuiltIn,
    /// Made-up text messages.
    Messages,
    /// Series of sensors.
    Series(Published),
}

impl ValueEnum for Source {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Source; 7] = [
            Source::Imdb,
            Source::BuiltIn,
            Source::Messages,
            Source::Series(Published::JapaneseVowels),
            Source::Series(Published::BasicMotions),
            Source::Series(Published::ItalyPower),
            Source::Series(Published::Airline),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Imdb => {
                PossibleValue::new("imdb").help("25,000 film reviews from IMDb, fetched once with pip and then kept")
            }
            Self::BuiltIn => PossibleValue::new("built-in")
                .help("Short made-up reviews in which the order of words decides; needs no network"),
            Self::Messages => PossibleValue::new("messages")
                .help("Made-up text messages of which one in a hundred is spam; needs no network"),
            Self::Series(set) => PossibleValue::new(set.name()).help(set.summary()),
        })
    }
}
