//! The kinds of task, of integers and of missing values that verbs know.

use clap::ValueEnum;
use latch_data::series::Missing;
use latch_engine::input::text::Tokens;
use latch_engine::layers::dense::MAX_OUTPUTS;

use crate::config::Storage;
use crate::dataset::{MAX_CLASSES, Task};

/// `--task`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum TaskArg {
    /// One of two or more classes for each text or series
    Classify,
    /// A number for each text or series
    Regress,
    /// A class for each token or step
    Tag,
    /// A number for each token or step
    RegressEach,
    /// The value of a series some steps ahead, at each step
    Forecast,
}

const _: () = assert!(MAX_CLASSES as usize == MAX_OUTPUTS);

impl TaskArg {
    /// The task; its classes are those of the data.
    pub(in crate::cli) fn task(self) -> Task {
        match self {
            TaskArg::Classify => Task::Classify(0),
            TaskArg::Regress => Task::Regress,
            TaskArg::Tag => Task::Tag(0),
            // With windows it is one for each of these.
            TaskArg::RegressEach | TaskArg::Forecast => Task::RegressEach,
        }
    }
}

/// `--tokens` where nothing is there to choose by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum TokenKind {
    /// Words, symbols and punctuation marks
    Words,
    /// Words and marks, and each Hangul syllable as a token of its own
    Syllables,
    /// Each letter, digit, symbol and mark, letters in lower case; a space between words
    Chars,
    /// The same with upper and lower case
    CharsCased,
}

impl TokenKind {
    /// What a token is.
    pub(in crate::cli) fn tokens(self) -> Tokens {
        match self {
            TokenKind::Words => Tokens::Words,
            TokenKind::Syllables => Tokens::Syllables,
            TokenKind::Chars => Tokens::Characters,
            TokenKind::CharsCased => Tokens::CasedCharacters,
        }
    }
}

/// `--quantize`: the storages of integers.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(in crate::cli) enum QuantizeArg {
    /// 8-bit integers
    Int8,
    /// int8 with a 4-bit embedding
    Mixed,
    /// 4-bit embedding and recurrent layers
    Int4,
}

impl From<QuantizeArg> for Storage {
    fn from(storage: QuantizeArg) -> Self {
        match storage {
            QuantizeArg::Int8 => Storage::Int8,
            QuantizeArg::Mixed => Storage::Mixed,
            QuantizeArg::Int4 => Storage::Int4,
        }
    }
}

/// What becomes of a missing value: `--missing`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum MissingArg {
    /// An error that names it
    Refuse,
    /// The value before it
    Hold,
    /// Zero
    Zero,
}

impl From<MissingArg> for Missing {
    fn from(missing: MissingArg) -> Self {
        match missing {
            MissingArg::Refuse => Missing::Refuse,
            MissingArg::Hold => Missing::Hold,
            MissingArg::Zero => Missing::Zero,
        }
    }
}
