//! `--model`: a chain of layers as text, or the default model with some keys changed.

use std::str::FromStr;

use super::args::positive;
use crate::config::ModelConfig;
use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::config::notation::{Draft, is_chain, read};

/// `--model`: `text 9500 > embedding 8 > gru 24 > attention > dense`, or key=value,… for a stack of LSTM layers.
#[derive(Clone, Debug)]
pub(super) struct ModelArg {
    /// The model.
    pub(super) model: ModelConfig,
    /// Whether a chain was given that names its pooling.
    pub(super) is_pooled: bool,
}

/// A stack of LSTM layers, as keys describe it.
struct Stack {
    embedding: usize,
    lstm: usize,
    layers: usize,
    readout: Pooling,
    dropout: f64,
    recurrent_dropout: f64,
    word_dropout: f64,
    head_dropout: f64,
}

/// The default model's stack.
const DEFAULT: Stack = Stack {
    embedding: 8,
    lstm: 32,
    layers: 1,
    readout: Pooling::Attention,
    dropout: 0.0,
    recurrent_dropout: 0.0,
    word_dropout: 0.3,
    head_dropout: 0.0,
};

const KEYS: &str = "vocab, words, embedding, whole, rare, rare_bits, quotient, lstm, layers, bag, readout, \
                    unknown, dropout, recurrent_dropout, word_dropout, head_dropout, ngrams, longest, ngram_texts, \
                    ngram_bits, ngram_dropout";

impl FromStr for ModelArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_chain(text) {
            let (model, is_pooled) = read(text).map_err(|mistake| mistake.to_string())?;
            return Ok(ModelArg { model, is_pooled });
        }
        let (mut draft, mut stack, mut keys) = (Draft::default(), DEFAULT, Vec::new());
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("`{pair}` is not of the form key=value"))?;
            let (key, value) = (key.trim(), value.trim());
            keys.push(key);
            if !draft.set(key, value)? && !stack.set(key, value)? {
                return Err(format!("`{key}` is no key of a model; the keys are {KEYS}"));
            }
        }
        if keys.contains(&"bag") {
            // A bag has the embedding's width and no recurrent layer.
            let other = ["embedding", "lstm", "layers", "dropout", "recurrent_dropout"];
            if let Some(key) = other.into_iter().find(|key| keys.contains(key)) {
                return Err(format!("a bag of embeddings has no {key}; leave out {key} or bag"));
            }
            if !keys.contains(&"readout") {
                stack.readout = Pooling::Mean;
            }
        }
        draft.model.chain = stack.chain();
        Ok(ModelArg { model: draft.finish()?, is_pooled: false })
    }
}

impl Stack {
    /// Changes what a key names; false where there is no such key.
    fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        let size = || positive(value).map_err(|problem| format!("{key}: {problem}"));
        let share = || match value.parse::<f64>() {
            Ok(share) if (0.0..1.0).contains(&share) => Ok(share),
            _ => Err(format!("{key}: must be a number from 0 to below 1")),
        };
        match key {
            "embedding" => self.embedding = size()?,
            "bag" => (self.embedding, self.layers) = (size()?, 0),
            "lstm" => self.lstm = size()?,
            // Far more than an image holds, and few enough to be listed.
            "layers" => self.layers = size()?.min(1 << 10),
            "readout" => {
                let named = Pooling::ALL.into_iter().find(|pooling| pooling.name() == value);
                self.readout = named.ok_or("readout: must be last, mean, max or attention")?;
            }
            "dropout" => self.dropout = share()?,
            "recurrent_dropout" => self.recurrent_dropout = share()?,
            "word_dropout" => self.word_dropout = share()?,
            "head_dropout" => self.head_dropout = share()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn chain(&self) -> Chain {
        let Stack { embedding, lstm: units, layers, readout, dropout, recurrent_dropout, word_dropout, head_dropout } =
            *self;
        let cell = CellConfig { units, dropout, recurrent_dropout };
        let mut chain = vec![LayerConfig::Lstm(cell); layers];
        chain.push(LayerConfig::Pooling(readout));
        chain.push(LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: head_dropout });
        Chain { embedding, word_dropout, layers: chain }
    }
}
