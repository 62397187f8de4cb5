//! Options that several verbs share, and how their values are read.

mod numbers;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use latch_engine::input::text::Tokens;

pub(super) use self::numbers::{
    batch, below_one, microseconds, minutes, parse_bytes, parse_share, positive, rate, seconds, temperature, up_to_one,
};
use crate::config::Valid;
use crate::dataset::{Part, has_part};
use crate::error::{Fault, fault};
use crate::search::candidates::Budget;

/// `--tokens`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum TokensArg {
    /// Words, symbols and punctuation marks
    Words,
    /// Words and marks, and each Hangul syllable as a token of its own
    Syllables,
    /// Each letter, digit, symbol and mark, letters in lower case; a space between words
    Chars,
    /// The same with upper and lower case
    CharsCased,
    /// As --model says; else syllables where more than half of the training texts' letters are Hangul
    Auto,
}

impl TokensArg {
    /// What a token is; `None` where model or texts are to decide.
    pub(super) fn tokens(self) -> Option<Tokens> {
        match self {
            TokensArg::Words => Some(Tokens::Words),
            TokensArg::Syllables => Some(Tokens::Syllables),
            TokensArg::Chars => Some(Tokens::Characters),
            TokensArg::CharsCased => Some(Tokens::CasedCharacters),
            TokensArg::Auto => None,
        }
    }
}

/// `--valid`: a share if it reads as a number between 0 and 1, else a path.
#[derive(Clone, Debug)]
pub(super) struct ValidArg(pub(super) Valid);

impl FromStr for ValidArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(share) if share > 0.0 && share < 1.0 => Ok(ValidArg(Valid::Fraction(share))),
            Ok(_) => Err(format!("{text} is a number, but not a share between 0 and 1")),
            Err(_) => Ok(ValidArg(Valid::Path(text.into()))),
        }
    }
}

impl ValidArg {
    /// The validation part, its path from the root.
    pub(super) fn absolute(self) -> Valid {
        match self.0 {
            Valid::Path(path) => Valid::Path(absolute(&path)),
            share => share,
        }
    }
}

/// The validation part where none is asked for: the data's own, or this share of it.
const VALID: f64 = 0.1;

/// The validation part that was asked for; else the data's own where it is a folder that has one, else a tenth of the data.
pub(super) fn valid_of(asked: Option<&ValidArg>, data: &Path) -> Valid {
    match asked {
        Some(asked) => asked.clone().absolute(),
        None if has_part(data, Part::Valid) => Valid::Path(absolute(data)),
        None => Valid::Fraction(VALID),
    }
}

/// The path from the root, so that a run finds its data from any folder.
pub(super) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// What an image may take.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BudgetArgs {
    /// Maximum size of the image, including tokenizer and vocabulary: 65536, 64KiB or 1MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    flash: Option<usize>,
    /// Maximum size of one stream's state in RAM, in bytes
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, requires = "flash")]
    ram: Option<usize>,
    /// Maximum time for a token on --board (upper end of the estimate): 500us, 2ms
    #[arg(long, value_name = "TIME", value_parser = microseconds, requires_all = ["flash", "board"])]
    latency: Option<f64>,
    /// Chip to estimate the time for; `latch-sim parts` lists them
    #[arg(long, requires = "flash")]
    board: Option<String>,
    /// Number of candidates in the first round
    #[arg(long, default_value_t = TRIALS, value_parser = positive, requires = "flash")]
    trials: usize,
    /// Start no new trial after this many minutes. The result then depends on the speed of the machine
    #[arg(long, value_parser = minutes, requires = "flash")]
    minutes: Option<f64>,
}

impl BudgetArgs {
    /// The budget, the candidates and the minutes of a search; `None` where no flash is given.
    pub(super) fn search(self) -> Option<(Budget, usize, Option<f64>)> {
        let BudgetArgs { flash, ram, latency, board, trials, minutes } = self;
        flash.map(|flash| (Budget { flash, ram, board, latency }, trials, minutes))
    }
}

/// Candidates where none are asked for.
const TRIALS: usize = 18;

/// Refuses to write over a file that is read, or into a folder whose files are.
pub(super) fn keep_inputs(out: &Path, inputs: &[&Path]) -> Result<(), Fault> {
    // A file that is not there yet lies in its folder.
    let real = |path: &Path| path.canonicalize().ok();
    let place = real(out).or_else(|| Some(real(&absolute(out.parent()?))?.join(out.file_name()?)));
    let read =
        |input: &&&Path| place.as_ref().is_some_and(|out| real(input).is_some_and(|input| out.starts_with(input)));
    let Some(input) = inputs.iter().find(read) else { return Ok(()) };
    if input.is_dir() {
        let problem = format!("it lies in {}, whose files are read", input.display());
        return Err(fault(out.display(), problem, "name a file in another folder with --out"));
    }
    Err(fault(out.display(), "this file is read, and would be written over", "name another file with --out"))
}
