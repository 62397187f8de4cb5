//! A model as text: its input, where it is said, and its layers:
//! `"text 9500 > embedding 8 > gru 24 > attention > dense"`.
//!
//! ```text
//! model      = [ "text" [ WORDS ] { input } ">" ] chain             the chain of `config::chain`
//! input      = "words=count" | "words=useful"                       which words of the texts the vocabulary takes
//!            | "unknown=row" | "unknown=skip" | "unknown=hashed:ROWS" | "unknown=ending:ROWS"
//!            | "ngrams=" N | "longest=" N | "ngram_texts=" N | "ngram_bits=" N | "ngram_dropout=" SHARE
//! ```
//!
//! The embedding of a model takes `whole=`, `rare=`, `rare_bits=` and `quotient=` too. The pooling may be left out (it
//! is `last`, or `mean` without a recurrent layer), and so may the last `dense`.

use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
use latch_engine::layers::embedding::Tiers;

use super::chain::{ChainError, Notation};
use super::{ModelConfig, Words, default_model};

/// Reads the text of a model, and says whether it names a pooling.
///
/// # Errors
/// The first mistake, with its place.
pub fn read(text: &str) -> Result<(ModelConfig, bool), ChainError> {
    let notation = Notation::read(text)?;
    let mut draft = Draft::default();
    draft.model.chain = notation.chain.clone();
    draft.model.vocab = notation.words.unwrap_or(draft.model.vocab);
    for setting in &notation.settings {
        draft.set(setting.key, setting.value).map_err(|problem| notation.error(Some(setting), problem))?;
    }
    let model = draft.finish().map_err(|problem| notation.error(notation.settings.last(), problem))?;
    Ok((model, notation.is_pooled))
}

/// True of a text that [`read`] is for, rather than a list of key=value.
pub fn is_chain(text: &str) -> bool {
    text.contains('>') || text.split_whitespace().next().is_some_and(|word| ["text", "embedding"].contains(&word))
}

/// The default model, as settings change it one by one.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The model so far.
    pub model: ModelConfig,
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
    /// Changes what a key names; false where there is no such key.
    ///
    /// # Errors
    /// A sentence that names the key and says what its value must be.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let size = || size(value).map_err(|problem| format!("{key}: {problem}"));
        let ngrams = &mut self.model.ngrams;
        match key {
            "vocab" => self.model.vocab = size()? as usize,
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
            "longest" => ngrams.longest = byte(key, value, 1, MAX_LONGEST as u8)?,
            "ngram_bits" => ngrams.weight_bits = byte(key, value, *WEIGHT_BITS.start(), *WEIGHT_BITS.end())?,
            _ => return Ok(false),
        }
        Ok(true)
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
    pub fn finish(self) -> Result<ModelConfig, String> {
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

/// A small whole number of a range.
fn byte(key: &str, value: &str, least: u8, most: u8) -> Result<u8, String> {
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("{key}: must be a whole number from {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_read_with_its_input_and_its_layers() {
        let text = "text 9500 words=useful ngrams=22000 ngram_texts=2 unknown=ending:7 > \
                    embedding 8 word_dropout=0.1 whole=2000 rare=2 > gru 24 > attention > dense";
        let (model, is_pooled) = read(text).unwrap();
        assert_eq!(model.chain.to_string(), "embedding 8 word_dropout=0.1 > gru 24 > attention > dense");
        assert_eq!((model.vocab, model.words, is_pooled), (9500, Words::Useful, true));
        assert_eq!((model.ngrams.count, model.ngrams.fewest), (22_000, 2));
        assert_eq!(model.hashed, Some(Hashed { rows: 7, of: Spelling::Ending }));
        assert_eq!(model.tiers, Some(Tiers { whole: 2000, width: 2, remainders: 0, int4: false }));
    }

    #[test]
    fn the_input_the_pooling_and_the_last_layer_may_be_left_out() {
        for (text, whole) in [
            ("embedding 8 > gru 24", "embedding 8 > gru 24 > last > dense"),
            ("text > embedding 8 > rnn 3 > dense 5 relu", "embedding 8 > rnn 3 > last > dense 5 relu > dense"),
            ("embedding 8 > lstm 3 > dense dropout=0.5", "embedding 8 > lstm 3 > last > dense dropout=0.5"),
            ("embedding 8", "embedding 8 > mean > dense"),
        ] {
            let (model, is_pooled) = read(text).unwrap();
            assert_eq!(model.chain.to_string(), whole);
            assert_eq!((model.vocab, is_pooled), (default_model().vocab, false));
        }
    }

    #[test]
    fn a_mistake_of_the_input_is_pointed_at() {
        for (text, problem, place) in [
            ("txt 5 > embedding 8 > gru 3", "did you mean `text`?", "txt"),
            ("text 5 ngram=3 > embedding 8 > gru 3", "did you mean `ngrams=`?", "ngram=3"),
            ("text 5 words=all > embedding 8 > gru 3", "words: must be count or useful", "words=all"),
            ("text 0 > embedding 8 > gru 3", "a whole number from 1", "0"),
            ("text 5", "an embedding is missing", "text 5"),
            ("text 5 > gru 3", "begins with an embedding", "gru"),
            ("embedding 8 > text 5 > gru 3", "comes first", "text"),
            ("text 5 > embedding 8 rare=3 > gru 3", "give that too", "rare=3"),
            ("text 5 > embedding 8 > last > gru 3", "before the pooling", "gru 3"),
            ("text 5 > embedding 8 > gru 3 > atention", "did you mean `attention`?", "atention"),
            ("embedding 8 whole=0 > gru 3", "whole: must be", "whole=0"),
        ] {
            let error = read(text).expect_err(text);
            assert!(error.problem().contains(problem), "{text}: {error}");
            assert_eq!(&text[error.place()], place, "{text}: {error}");
        }
    }
}
