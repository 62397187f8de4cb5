//! A model as text: its input, where it is said, and its layers:
//! `"text 9500 > embedding 8 > gru 24 > attention > dense"`.
//!
//! ```text
//! model      = [ tokens { input } ">" ] chain                       the chain of `config::chain::text`
//!            | "samples" [ CHANNELS ] { sampled } ">" layer { ">" layer } [ ">" "skip" { skipped } ]
//! sampled    = "scale=standardize" | "scale=minmax" | "scale=none" | "difference=" FRAMES | "clip=" LIMIT
//! skipped    = "channel=" CHANNEL | "lag=" FRAMES
//! tokens     = "text" [ WORDS ] [ "syllables" ]                     words; Hangul syllables are tokens of their own
//!            | "chars" [ CHARACTERS ] [ "cased" ]                   characters; letters keep their case
//! input      = "words=count" | "words=useful"                       which words of the texts the vocabulary takes
//!            | "unknown=row" | "unknown=skip" | "unknown=hashed:ROWS" | "unknown=ending:ROWS"
//!            | "ngrams=" N | "longest=" N | "ngram_texts=" N | "ngram_bits=" N | "ngram_dropout=" SHARE
//! ```
//!
//! The embedding of a model takes `whole=`, `rare=`, `rare_bits=` and `quotient=` too. The last `dense` may be left out. A pooling may be
//! left out as well: [`model_of`](super::model_of) adds what the task needs. The [`Display`](fmt::Display) form of a model is read back to the same model.

use std::fmt;
use std::str::FromStr;

use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::samples::{MAX_CHANNELS, MAX_LAG, Skip};
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::layers::embedding::Tiers;

use super::chain::text::{ChainError, Notation};
use super::{ModelConfig, NgramConfig, SamplesConfig, Scaled, Words, default_model};

impl FromStr for ModelConfig {
    type Err = ChainError;

    /// Reads the text of a model. What is not said of the input is that of the default model.
    ///
    /// # Errors
    /// The first mistake, with its place.
    fn from_str(text: &str) -> Result<Self, ChainError> {
        let notation = Notation::read(text, true)?;
        let mut draft = Draft::default();
        draft.model.chain = notation.chain.clone();
        draft.model.vocab = notation.words.unwrap_or(draft.model.vocab);
        draft.model.tokens = notation.tokens;
        if notation.samples {
            draft.model.samples = Some(SamplesConfig::default());
        }
        for setting in &notation.settings {
            draft.set(setting.key, setting.value).map_err(|problem| notation.error(Some(setting), problem))?;
        }
        let of = |keys: &[&str]| notation.settings.iter().find(|setting| keys.contains(&setting.key));
        let beyond = of(&["rare", "rare_bits", "quotient"]);
        let model = draft.finish().map_err(|problem| notation.error(beyond, problem))?;
        if let Some((layer, problem)) = model.chain.excess() {
            return Err(notation.layer_error(layer, problem));
        }
        if let Some((option, range)) = model.excess() {
            // What is left out of the rows beyond whole ones follows from what is said of them.
            return Err(notation.error(of(&[option]).or(beyond), format!("{option}: must be {range}")));
        }
        Ok(model)
    }
}

impl ModelConfig {
    /// The input without its options: what a token is, and the most that the vocabulary has.
    pub fn input(&self) -> String {
        let vocab = self.vocab;
        if self.samples.is_some() {
            return if self.chain.embedding == 0 {
                "samples".into()
            } else {
                format!("samples {}", self.chain.embedding)
            };
        }
        match self.tokens {
            Tokens::Words => format!("text {vocab}"),
            Tokens::Syllables => format!("text {vocab} syllables"),
            Tokens::Characters => format!("chars {vocab}"),
            Tokens::CasedCharacters => format!("chars {vocab} cased"),
        }
    }
}

impl fmt::Display for ModelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.input())?;
        if let Some(SamplesConfig { scaled, difference, clip, skip }) = self.samples {
            if scaled != Scaled::default() {
                write!(f, " scale={}", scaled.name())?;
            }
            if difference > 0 {
                write!(f, " difference={difference}")?;
            }
            if let Some(clip) = clip {
                write!(f, " clip={clip}")?;
            }
            self.chain.write_layers(f)?;
            return skip.map_or(Ok(()), |skip| write!(f, " > {skip}"));
        }
        if self.words == Words::Useful {
            write!(f, " words=useful")?;
        }
        match self.unknown() {
            Unknown::LastRow => {}
            Unknown::Skip => write!(f, " unknown=skip")?,
            Unknown::Hashed(Hashed { rows, of: Spelling::Whole }) => write!(f, " unknown=hashed:{rows}")?,
            Unknown::Hashed(Hashed { rows, of: Spelling::Ending }) => write!(f, " unknown=ending:{rows}")?,
        }
        let NgramConfig { count, longest, weight_bits, dropout, fewest } = self.ngrams;
        let none = NgramConfig::NONE;
        for (name, value, usual) in [
            ("ngrams", count, none.count),
            ("longest", longest.into(), none.longest.into()),
            ("ngram_texts", fewest as usize, none.fewest as usize),
            ("ngram_bits", weight_bits.into(), none.weight_bits.into()),
        ] {
            if value != usual {
                write!(f, " {name}={value}")?;
            }
        }
        if dropout != none.dropout {
            write!(f, " ngram_dropout={dropout}")?;
        }
        write!(f, " > ")?;
        self.chain.write_embedding(f)?;
        if let Some(Tiers { whole, width, remainders, int4 }) = self.tiers {
            write!(f, " whole={whole}")?;
            if usize::from(width) != self.chain.embedding.div_ceil(2) {
                write!(f, " rare={width}")?;
            }
            if int4 {
                write!(f, " rare_bits=4")?;
            }
            if remainders > 0 {
                write!(f, " quotient={remainders}")?;
            }
        }
        self.chain.write_layers(f)
    }
}

impl From<ModelConfig> for String {
    fn from(model: ModelConfig) -> Self {
        model.to_string()
    }
}

impl TryFrom<String> for ModelConfig {
    /// The mistake in one line, as a file's error has it.
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error: ChainError| error.in_one_line())
    }
}

/// The default model, as settings change it one by one.
struct Draft {
    model: ModelConfig,
    whole: Option<u32>,
    rare: Option<u32>,
    quotient: Option<u32>,
    four: Option<bool>,
}

impl Default for Draft {
    fn default() -> Self {
        Draft { model: default_model(), whole: None, rare: None, quotient: None, four: None }
    }
}

impl Draft {
    /// Changes what a setting names.
    ///
    /// # Errors
    /// A sentence that names the setting and says what its value must be.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let size = || size(value).map_err(|problem| format!("{key}: {problem}"));
        let byte = || value.parse().map_err(|_| format!("{key}: must be a whole number up to {}", u8::MAX));
        let ngrams = &mut self.model.ngrams;
        match key {
            "words" => {
                self.model.words = match value {
                    "count" => Words::Count,
                    "useful" => Words::Useful,
                    _ => return Err("words: must be count or useful".into()),
                }
            }
            "whole" => self.whole = Some(size()?),
            "rare" => self.rare = Some(size()?),
            "quotient" => self.quotient = Some(size()?),
            "rare_bits" => {
                self.four = match value {
                    "8" => Some(false),
                    "4" => Some(true),
                    _ => return Err("rare_bits: must be 8 or 4".into()),
                }
            }
            "unknown" => self.set_unknown(value)?,
            "ngrams" => ngrams.count = value.parse().map_err(|_| "ngrams: must be a whole number".to_owned())?,
            "ngram_dropout" => {
                ngrams.dropout = value.parse().map_err(|_| "ngram_dropout: must be a number from 0 to 1".to_owned())?;
            }
            "ngram_texts" => ngrams.fewest = size()?,
            "scale" | "difference" | "clip" | "skip" | "channel" | "lag" => self.set_samples(key, value)?,
            "longest" => ngrams.longest = byte()?,
            "ngram_bits" => ngrams.weight_bits = byte()?,
            _ => return Err(format!("{key}: no model has this option")),
        }
        Ok(())
    }

    /// What is read of samples.
    fn set_samples(&mut self, key: &str, value: &str) -> Result<(), String> {
        let samples = self.model.samples.get_or_insert_default();
        match key {
            "scale" => {
                samples.scaled = Scaled::ALL
                    .into_iter()
                    .find(|scaled| scaled.name() == value)
                    .ok_or("scale: must be standardize, minmax or none")?;
            }
            "difference" => {
                let fits = value.parse().ok().filter(|lag| (1..=MAX_LAG).contains(lag));
                samples.difference =
                    fits.ok_or_else(|| format!("difference: must be a whole number from 1 to {MAX_LAG}"))?;
            }
            "skip" => samples.skip = Some(Skip::default()),
            "channel" => {
                let fits = value.parse().ok().filter(|channel| *channel < MAX_CHANNELS);
                samples.skip.get_or_insert_default().channel =
                    fits.ok_or_else(|| format!("channel: must be a whole number from 0 to {}", MAX_CHANNELS - 1))?;
            }
            "lag" => {
                let fits = value.parse().ok().filter(|lag| *lag <= MAX_LAG);
                samples.skip.get_or_insert_default().lag =
                    fits.ok_or_else(|| format!("lag: must be a whole number from 0 to {MAX_LAG}"))?;
            }
            _ => {
                let fits = value.parse().ok().filter(|clip: &f32| *clip > 0.0 && clip.is_finite());
                samples.clip = Some(fits.ok_or("clip: must be a positive number")?);
            }
        }
        Ok(())
    }

    /// What unknown words do.
    fn set_unknown(&mut self, value: &str) -> Result<(), String> {
        let (rule, rows) = value.split_once(':').map_or((value, None), |(rule, rows)| (rule, Some(rows)));
        let of = match (rule, rows) {
            ("row" | "skip", None) => None,
            ("hashed", Some(_)) => Some(Spelling::Whole),
            ("ending", Some(_)) => Some(Spelling::Ending),
            _ => return Err("unknown: must be row, skip, hashed:ROWS or ending:ROWS".into()),
        };
        let rows = rows.map(|rows| size(rows).map_err(|problem| format!("unknown: {rule}: {problem}")));
        let rows = rows.transpose()?.unwrap_or(0);
        self.model.skip_unknown = rule == "skip";
        self.model.hashed = of.map(|of| Hashed { rows, of });
        Ok(())
    }

    /// The model.
    ///
    /// # Errors
    /// A sentence where something is said of the rows beyond whole ones, and no whole ones.
    fn finish(self) -> Result<ModelConfig, String> {
        let Draft { mut model, whole, rare, quotient, four } = self;
        if let Some(whole) = whole {
            let width = rare.map_or(model.chain.embedding.div_ceil(2), |rare| rare as usize);
            model.tiers = Some(Tiers {
                whole,
                width: u16::try_from(width).unwrap_or(u16::MAX),
                remainders: quotient.unwrap_or(0),
                int4: four.unwrap_or(false),
            });
        } else if rare.is_some() || quotient.is_some() || four.is_some() {
            return Err("rare, rare_bits and quotient are about the ids beyond whole=; give that too".into());
        }
        Ok(model)
    }
}

/// A whole number from 1; what is larger than any image holds is the largest.
fn size(text: &str) -> Result<u32, String> {
    match text.parse::<usize>() {
        Ok(0) | Err(_) => Err("must be a whole number from 1".into()),
        Ok(number) => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
    }
}

#[cfg(test)]
mod tests;
