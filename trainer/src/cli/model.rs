//! `--model`: the default model with some keys changed.

use std::str::FromStr;

use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
use latch_engine::layers::embedding::Tiers;

use super::args::positive;
use crate::config::{DEFAULT_MODEL, ModelConfig, Readout, Words};

/// `--model`: the default model with some keys changed.
#[derive(Clone, Debug)]
pub(super) struct ModelArg(pub(super) ModelConfig);

impl FromStr for ModelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut model = DEFAULT_MODEL;
        let mut keys = Vec::new();
        let (mut whole, mut rare, mut quotient, mut four) = (None, None, None, None);
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not of the form key=value"))?;
            let (key, value) = (key.trim(), value.trim());
            keys.push(key);
            let size = || positive(value).map_err(|problem| format!("{key}: {problem}"));
            let share = || match value.parse::<f64>() {
                Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
                _ => Err(format!("{key}: must be a number from 0 to below 1")),
            };
            match key {
                "vocab" => model.vocab = size()?,
                "words" => {
                    model.words = match value {
                        "count" => Words::Count,
                        "useful" => Words::Useful,
                        _ => return Err("words: must be count or useful".into()),
                    }
                }
                "embedding" => model.embedding = size()?,
                "whole" => whole = Some(size()?),
                "rare" => rare = Some(size()?),
                "quotient" => quotient = Some(size()?),
                "rare_bits" => {
                    four = match value {
                        "8" => Some(false),
                        "4" => Some(true),
                        _ => return Err("rare_bits: must be 8 or 4".into()),
                    }
                }
                "bag" => (model.embedding, model.layers) = (size()?, 0),
                "lstm" => model.lstm = size()?,
                "layers" => model.layers = size()?,
                "readout" => {
                    model.readout = match value {
                        "last" => Readout::Last,
                        "mean" => Readout::Mean,
                        "max" => Readout::Max,
                        "attention" => Readout::Attention,
                        _ => return Err("readout: must be last, mean, max or attention".into()),
                    }
                }
                "unknown" => {
                    let (rule, rows) = value.split_once(':').map_or((value, None), |(rule, rows)| (rule, Some(rows)));
                    let of = match (rule, rows) {
                        ("row" | "skip", None) => None,
                        ("hashed", Some(_)) => Some(Spelling::Whole),
                        ("ending", Some(_)) => Some(Spelling::Ending),
                        _ => return Err("unknown: must be row, skip, hashed:ROWS or ending:ROWS".into()),
                    };
                    let rows = rows.map(|rows| positive(rows).map_err(|problem| format!("{key}: {rule}: {problem}")));
                    let rows = rows.transpose()?.map_or(0, |rows| u32::try_from(rows).unwrap_or(u32::MAX));
                    model.skip_unknown = rule == "skip";
                    model.hashed = of.map(|of| Hashed { rows, of });
                }
                "dropout" => model.dropout = share()?,
                "recurrent_dropout" => model.recurrent_dropout = share()?,
                "word_dropout" => model.word_dropout = share()?,
                "head_dropout" => model.head_dropout = share()?,
                "ngrams" => {
                    model.ngrams.count = value.parse().map_err(|_| "ngrams: must be a whole number".to_owned())?
                }
                "ngram_dropout" => {
                    let kept: f64 =
                        value.parse().map_err(|_| "ngram_dropout: must be a number from 0 to 1".to_owned())?;
                    model.ngrams.dropout = kept;
                }
                "ngram_texts" => {
                    model.ngrams.fewest = size()?.try_into().map_err(|_| "ngram_texts: is too large".to_owned())?;
                }
                "longest" => model.ngrams.longest = byte(key, value, 1, MAX_LONGEST as u8)?,
                "ngram_bits" => {
                    model.ngrams.weight_bits = byte(key, value, *WEIGHT_BITS.start(), *WEIGHT_BITS.end())?;
                }
                _ => {
                    let keys = "vocab, words, embedding, whole, rare, rare_bits, quotient, lstm, layers, bag, readout, unknown, dropout, recurrent_dropout, word_dropout, head_dropout, ngrams, longest, ngram_texts, ngram_bits, ngram_dropout";
                    return Err(format!("`{key}` is no key of a model; the keys are {keys}"));
                }
            }
        }
        let number = |value: Option<usize>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
        if let Some(whole) = number(whole) {
            let width = rare.unwrap_or(model.embedding.div_ceil(2));
            model.tiers = Some(Tiers {
                whole,
                width: u16::try_from(width).unwrap_or(u16::MAX),
                remainders: number(quotient).unwrap_or(0),
                int4: four.unwrap_or(false),
            });
        } else if rare.is_some() || quotient.is_some() || four.is_some() {
            return Err("rare, rare_bits and quotient are about the ids beyond whole=; give that too".into());
        }
        if keys.contains(&"bag") {
            // A bag has the embedding's width and no recurrent layer.
            let other = ["embedding", "lstm", "layers", "dropout", "recurrent_dropout"];
            if let Some(key) = other.into_iter().find(|key| keys.contains(key)) {
                return Err(format!("a bag of embeddings has no {key}; leave out {key} or bag"));
            }
            (model.layers, model.lstm, model.dropout, model.recurrent_dropout) = (0, 0, 0.0, 0.0);
            if !keys.contains(&"readout") {
                model.readout = Readout::Mean;
            }
        }
        Ok(ModelArg(model))
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
