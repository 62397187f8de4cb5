//! What an image says about itself: plain data, coded with postcard.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use super::error::{Error, problem};

/// Most layers that an image can stack.
pub const MAX_LAYERS: usize = 4;

/// Most outputs of a head.
pub const MAX_OUTPUTS: usize = 16;

/// Most rows of an embedding.
pub const MAX_ROWS: u32 = 1 << 20;

/// Most columns of [x; h], and most units of a layer: with these, sums of the head stay inside 64 bits.
pub const MAX_WIDTH: u16 = 2048;

/// Read before anything else, so that a newer version is refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preamble {
    /// [`super::MAGIC`].
    pub magic: [u8; 4],
    /// [`super::VERSION`] of the writer.
    pub version: u16,
}

/// The model that the image holds. Its length stands before it, see [`super`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Type of the weights, and with it the arithmetic.
    pub precision: Precision,
    /// What the network reads.
    pub input: Input,
    /// The table of rows by id.
    pub embedding: Embedding,
    /// The recurrent layers, first to last. None in a bag of embeddings, whose readout is over the embedding's rows (with the feature `extended`).
    pub layers: Vec<Layer, MAX_LAYERS>,
    /// What of the last layer's hidden states the head sees.
    pub readout: Readout,
    /// The dense head.
    pub head: Head,
    /// Ids whose contribution to the first layer's gates stands ready in the image; 0 where it is computed for all of them. Not coded with the
    /// other fields: from version 3 on the number follows them, see [`super`].
    #[serde(skip)]
    pub folded: u32,
    /// What version 4 added. Not coded with the other fields either: from version 4 on it follows `folded`.
    #[cfg(feature = "extended")]
    #[serde(skip)]
    pub extended: Extended,
}

/// What version 4 of the format added; all of it at its default is a model of version 2 or 3. (With the feature `extended`.)
#[cfg(feature = "extended")]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extended {
    /// Which tensors of an integer model have four bits a weight.
    pub nibbles: Nibbles,
    /// What a token of the text is.
    pub units: Units,
    /// The table of n-grams that adds to the logit.
    pub ngrams: Option<Ngrams>,
    /// What the outputs mean.
    pub answer: Answer,
    /// After how many tokens which logit is certain enough to stop, by rising tokens; empty where none was chosen.
    pub early: Vec<Early, MAX_EARLY>,
    /// Other rows of an integer model's embedding for the ids that are read seldom. Not coded with the other fields: from version 5 on it
    /// follows them, and from version 6 on whether there are any comes before.
    #[serde(skip)]
    pub tiers: Option<Tiers>,
}

/// An embedding in two tiers: whole rows for the ids that are read often, and for the n-th of the others
///
/// ```text
/// [A[n]; 0..]                              without remainders: only the first `width` features (Grave et al. 2017, section 2)
/// [A[n / remainders]; B[n % remainders]]   with them: quotient and remainder, joined (Shi et al. 2020, section 2)
/// ```
///
/// A has `width` features and B what is left of the embedding's. All rows have the scales of the embedding's columns, so that a row is
/// put together from bytes and no arithmetic. See [`crate::image::ids`] for who has a whole row.
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiers {
    /// Ids with a whole row, at least 1 and fewer than all.
    pub whole: u32,
    /// Features of a row of A.
    pub width: u16,
    /// Rows of B; 0 where the other features are zero.
    pub remainders: u32,
    /// A and B have four bits a weight.
    pub nibbles: bool,
}

#[cfg(feature = "extended")]
impl Tiers {
    /// Rows of A for so many ids without a whole row.
    pub const fn quotients(self, others: u32) -> u32 {
        if self.remainders == 0 { others } else { others.div_ceil(self.remainders) }
    }
}

/// Most entries of a table of n-grams.
#[cfg(feature = "extended")]
pub const MAX_NGRAMS: u32 = 1 << 26;

/// Most steps of the thresholds for an early answer.
#[cfg(feature = "extended")]
pub const MAX_EARLY: usize = 8;

/// Tensors of an integer model with two weights in a byte; [`crate::kernels::nibbles`] has their order and what they stand for.
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nibbles {
    /// The embedding.
    pub embedding: bool,
    /// The gates of all layers.
    pub gates: bool,
}

/// What a token of the text is.
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Units {
    /// Words and marks.
    #[default]
    Words,
    /// The same, but a word's Hangul syllables are tokens of their own.
    Syllables,
}

/// A table of n-grams, each with a weight that is added to the logit; see [`crate::input::ngrams`].
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ngrams {
    /// Entries.
    pub entries: u32,
    /// Tokens of the longest n-gram.
    pub longest: u8,
    /// Bits of an entry that are its weight; the others, of 16, are its key.
    pub weight_bits: u8,
    /// Added to the number of tokens, by which the weights' sum is divided.
    pub prior: u16,
    /// From the sum's quotient to Q15.16.
    pub multiplier: u32,
}

/// What the outputs mean.
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Logits of classes, or values.
    pub kind: AnswerKind,
    /// An answer belongs to every step, not only to the whole sequence.
    pub each_step: bool,
}

/// What an output is.
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerKind {
    /// A logit: of the positive class where there is one output, else one a class.
    #[default]
    Classes,
    /// A value of a regression.
    Values,
}

/// One step of the thresholds for an early answer.
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// From so many tokens on
    pub tokens: u32,
    /// a logit of at least this magnitude, Q15.16, is certain.
    pub logit: u32,
}

/// Type of the weights in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// Half-precision storage, 32-bit arithmetic.
    F16,
    /// 8-bit integers with a scale a row; integer arithmetic from token to logit.
    Int8,
}

impl Precision {
    /// As it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F16 => "f16",
            Precision::Int8 => "int8",
        }
    }
}

/// What the network reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// UTF-8 text through the tokenizer and a vocabulary.
    Text(Text),
    /// Ids that the caller makes; the image has no vocabulary.
    Ids,
}

/// The vocabulary's shape; see [`crate::input::vocabulary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// Number of words; ids are `0..words` in byte order of the words.
    pub words: u32,
    /// What a word does that is not in the vocabulary. Unknown marks are always skipped.
    pub unknown: Unknown,
    /// Width of the characters' decoding table in bits.
    pub character_bits: u8,
    /// Width of the prefixes' decoding table in bits.
    pub prefix_bits: u8,
    /// Offsets in the index have 4 bytes in place of 2.
    pub index_is_wide: bool,
    /// Bytes of the coded words.
    pub text_bytes: u32,
}

/// What a word does that is not in the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unknown {
    /// It is left out.
    Skip,
    /// It reads as id `words`, the embedding's last row.
    LastRow,
    /// It reads as one of the embedding's last rows, by its hash. (With the feature `extended`.)
    #[cfg(feature = "extended")]
    Hashed(Hashed),
}

/// Rows that the words share that are not in the vocabulary; see [`Hashed::row`].
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// Rows, at least 1.
    pub rows: u32,
    /// What of the word is hashed.
    pub of: Spelling,
}

/// What of a word's spelling decides its row.
#[cfg(feature = "extended")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spelling {
    /// All of it.
    Whole,
    /// Its last three characters.
    Ending,
}

impl Unknown {
    /// Rows of the embedding behind those of the vocabulary's words.
    pub const fn rows(self) -> u32 {
        match self {
            Unknown::Skip => 0,
            Unknown::LastRow => 1,
            #[cfg(feature = "extended")]
            Unknown::Hashed(hashed) => hashed.rows,
        }
    }

    /// The id of a word that is not in the vocabulary of so many words; `None` where it is left out.
    #[inline]
    pub fn id(self, words: u32, word: &[u8]) -> Option<u32> {
        let _ = word;
        match self {
            Unknown::Skip => None,
            Unknown::LastRow => Some(words),
            #[cfg(feature = "extended")]
            Unknown::Hashed(hashed) => Some(words + hashed.row(word)),
        }
    }
}

/// Shape of the embedding: `rows × width`, row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Embedding {
    /// Number of ids.
    pub rows: u32,
    /// Features of a row.
    pub width: u16,
}

/// A recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Layer {
    /// Long short-term memory.
    Lstm(Lstm),
}

/// Shape of an LSTM layer (Hochreiter and Schmidhuber 1997, with forget gates after Gers 2000; no peepholes). Gate order i, f, g, o.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lstm {
    /// Features of its input.
    pub inputs: u16,
    /// Units: features of its hidden state.
    pub units: u16,
    /// Integer precisions: right shift from accumulator times multiplier to Q3.12. 0 for floats.
    pub shift: u8,
}

impl Lstm {
    /// Columns of [x; h], padded to a multiple of 4 for the integer kernels.
    pub const fn padded_columns(&self) -> usize {
        (self.inputs as usize + self.units as usize).next_multiple_of(4)
    }

    /// Units padded to a multiple of 8 for the float kernels.
    pub const fn padded_units(&self) -> usize {
        (self.units as usize).next_multiple_of(8)
    }
}

/// What of the last layer's hidden states the head sees. All of them stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Readout {
    /// The hidden state after the last token.
    Last,
    /// The mean over all tokens so far.
    Mean,
    /// The largest value of each unit so far.
    Max,
    /// The mean over all tokens so far, each with the weight e^(4·h) of the first unit's h. (With the feature `extended`.) Needs a layer.
    #[cfg(feature = "extended")]
    Attention,
}

impl Readout {
    /// As it is written on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Readout::Last => "last",
            Readout::Mean => "mean",
            Readout::Max => "max",
            #[cfg(feature = "extended")]
            Readout::Attention => "attention",
        }
    }
}

/// The dense head: `outputs × units` weights, a bias an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of logits.
    pub outputs: u16,
    /// Integer precisions: right shift from accumulator times multiplier to Q15.16. 0 for floats.
    pub shift: u8,
}

/// Where the model comes from, for people and for reproducing it. Follows the manifest; no part of it, so that a chip need not hold it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance<'a> {
    /// Program and version that wrote the image, as UTF-8; bytes, because a chip has no use for them as text.
    pub producer: &'a [u8],
    /// The training run's seed.
    pub seed: u64,
    /// SHA-256 of the training examples.
    pub data_sha256: [u8; 32],
    /// Number of training examples.
    pub examples: u32,
    /// Epochs behind the weights.
    pub epochs: u32,
    /// Accuracy on the validation part, 0 to 1.
    pub valid_accuracy: f32,
}

impl Manifest {
    /// A manifest of nothing, which no image has.
    pub(super) const NOTHING: Self = Manifest {
        precision: Precision::Int8,
        input: Input::Ids,
        embedding: Embedding { rows: 0, width: 0 },
        layers: Vec::new(),
        readout: Readout::Last,
        head: Head { outputs: 0, shift: 0 },
        folded: 0,
        #[cfg(feature = "extended")]
        extended: Extended {
            nibbles: Nibbles { embedding: false, gates: false },
            units: Units::Words,
            ngrams: None,
            answer: Answer { kind: AnswerKind::Classes, each_step: false },
            early: Vec::new(),
            tiers: None,
        },
    };

    /// The lowest version of the format that can express this manifest, which is the one that the writer gives it.
    pub fn version(&self) -> u16 {
        #[cfg(feature = "extended")]
        if self.readout == Readout::Attention {
            return super::VERSION;
        }
        #[cfg(feature = "extended")]
        if self.extended.tiers.is_some() {
            return super::VERSION_TIERED;
        }
        #[cfg(feature = "extended")]
        if self.extended != Extended::default() || self.layers.is_empty() {
            return super::VERSION_EXTENDED;
        }
        if self.folded == 0 { super::VERSION_UNFOLDED } else { super::VERSION_FOLDED }
    }

    /// The precision as it is written on a command line: that of [`Precision::name`], but `int4` where the gates have four bits a weight, and
    /// `mixed` where only the embedding has.
    pub fn precision_name(&self) -> &'static str {
        #[cfg(feature = "extended")]
        match self.extended.nibbles {
            Nibbles { gates: true, .. } => return "int4",
            Nibbles { embedding: true, .. } => return "mixed",
            _ => {}
        }
        self.precision.name()
    }

    /// Columns of x among a layer's gate weights: none where the embedding is folded into the first layer.
    pub fn joined_inputs(&self, layer: usize) -> usize {
        if cfg!(feature = "fold") && self.folded > 0 && layer == 0 {
            return 0;
        }
        self.layers.get(layer).map_or(0, |Layer::Lstm(lstm)| usize::from(lstm.inputs))
    }

    /// Features that the head sees: the units of the last layer, or the embedding's where there is none.
    pub fn features(&self) -> usize {
        let width = usize::from(self.embedding.width);
        self.layers.last().map_or(width, |Layer::Lstm(last)| usize::from(last.units))
    }

    /// Checks that the numbers fit each other and the engine's limits.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |problem| Err(Error::Shape { problem });
        if self.embedding.rows == 0
            || self.embedding.rows > MAX_ROWS
            || self.embedding.width == 0
            || self.embedding.width > MAX_WIDTH
        {
            return wrong(problem!("the embedding has no rows or columns, or more than this engine reads"));
        }
        if let Input::Text(text) = self.input {
            let rows = u64::from(text.words) + u64::from(text.unknown.rows());
            if rows != u64::from(self.embedding.rows) {
                return wrong(problem!("vocabulary and embedding have different numbers of rows"));
            }
            #[cfg(feature = "extended")]
            if matches!(text.unknown, Unknown::Hashed(Hashed { rows: 0, .. })) {
                return wrong(problem!("unknown words have no row to share"));
            }
        }
        if self.layers.is_empty() && (cfg!(not(feature = "extended")) || self.folded > 0) {
            return wrong(problem!("there is no recurrent layer"));
        }
        #[cfg(feature = "extended")]
        if self.layers.is_empty() && self.readout == Readout::Attention {
            return wrong(problem!("a readout by attention needs a recurrent layer"));
        }
        let integer = self.precision == Precision::Int8;
        #[cfg(feature = "extended")]
        if !integer && self.extended.nibbles != Nibbles::default() {
            return wrong(problem!("weights of four bits belong to integer models only"));
        }
        let shift_fits = |shift: u8, most: u8| if integer { (1..=most).contains(&shift) } else { shift == 0 };
        let mut features = self.embedding.width;
        for Layer::Lstm(lstm) in &self.layers {
            if lstm.inputs != features {
                return wrong(problem!("a layer's inputs are not the outputs of the layer before it"));
            }
            if lstm.units == 0 || usize::from(lstm.inputs) + usize::from(lstm.units) > usize::from(MAX_WIDTH) {
                return wrong(problem!("a layer has no units, or more columns than this engine reads"));
            }
            if !shift_fits(lstm.shift, 30) {
                return wrong(problem!("a layer's shift is out of range"));
            }
            features = lstm.units;
        }
        if self.head.outputs == 0 || usize::from(self.head.outputs) > MAX_OUTPUTS {
            return wrong(problem!("the head has no outputs, or more than this engine reads"));
        }
        if !shift_fits(self.head.shift, 46) {
            return wrong(problem!("the head's shift is out of range"));
        }
        #[cfg(feature = "extended")]
        if let Some(ngrams) = self.extended.ngrams {
            use crate::input::ngrams::{MAX_LONGEST, WEIGHT_BITS};
            if !matches!(self.input, Input::Text(_)) || self.head.outputs != 1 {
                return wrong(problem!("n-grams need text as the input, and one output"));
            }
            if ngrams.entries == 0
                || ngrams.entries > MAX_NGRAMS
                || !(1..=MAX_LONGEST).contains(&usize::from(ngrams.longest))
                || !WEIGHT_BITS.contains(&ngrams.weight_bits)
            {
                return wrong(problem!(
                    "the table of n-grams has no entries, or more or others than this engine reads"
                ));
            }
        }
        if cfg!(feature = "fold") && self.folded > self.embedding.rows {
            return wrong(problem!("more ids are folded than the embedding has"));
        }
        #[cfg(feature = "extended")]
        {
            let Extended { answer, early, tiers, .. } = &self.extended;
            if let Some(tiers) = tiers {
                if !integer || self.folded > 0 {
                    return wrong(problem!(
                        "an embedding in tiers belongs to integer models whose embedding is not folded"
                    ));
                }
                let others = self.embedding.rows.saturating_sub(tiers.whole);
                if tiers.whole == 0 || others == 0 {
                    return wrong(problem!("one of the embedding's tiers has no ids"));
                }
                let most = if tiers.remainders == 0 { self.embedding.width } else { self.embedding.width - 1 };
                if tiers.width == 0 || tiers.width > most || tiers.remainders > others {
                    return wrong(problem!("the rows of the embedding's lower tier do not fit the embedding"));
                }
            }
            if answer.each_step && self.readout != Readout::Last {
                return wrong(problem!("an answer each step needs the readout of the last hidden state"));
            }
            let one_verdict = answer.kind == AnswerKind::Classes && !answer.each_step && self.head.outputs == 1;
            if !early.is_empty() && !one_verdict {
                return wrong(problem!("only one verdict of two classes has an early answer"));
            }
            if early.windows(2).any(|steps| steps[0].tokens >= steps[1].tokens || steps[0].logit < steps[1].logit) {
                return wrong(problem!("an early answer's thresholds do not fall as the tokens rise"));
            }
        }
        Ok(())
    }
}
