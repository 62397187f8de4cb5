//! Every layer that a chain can have: its options with their defaults, and what it takes.
//!
//! Names and options are those that the reader of chains knows, and bytes, state and multiply-adds are the engine's own, of an image with the layer
//! in it.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use latch_engine::image::header::Input;
use latch_engine::image::section::Section;
use latch_engine::input::text::Tokens;
use serde::Serialize;

use super::image::{LayerCost, layer_costs};
use super::paragraph;
use crate::config::chain::text::names::{Kind, LAYERS};
use crate::config::{ModelConfig, Storage};
use crate::error::{Fault, fault};
use crate::quantizer::describe;
use crate::vocabulary::Vocabulary;

/// The size of the layer that is measured.
const UNITS: usize = 16;
/// The features of the embedding before it.
const FEATURES: usize = 8;
/// The words of the vocabulary.
const WORDS: usize = 1000;

/// A layer, and what it takes.
#[derive(Clone, Debug, Serialize)]
pub struct LayerLine {
    /// Its name in a chain.
    pub layer: &'static str,
    /// What its number is; none where it takes no number.
    pub number: Option<&'static str>,
    /// What it does.
    pub about: &'static str,
    /// Its options.
    pub options: Vec<OptionLine>,
    /// A chain with it, which the other numbers are of.
    pub example: String,
    /// Bytes of its weights in an int8 image; none for the input, where the words decide.
    pub bytes: Option<usize>,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// Multiply-adds of a step.
    pub multiply_adds: usize,
}

/// An option of a layer.
#[derive(Clone, Debug, Serialize)]
pub struct OptionLine {
    /// Its name, with `=` where it takes a value.
    pub option: &'static str,
    /// Its default.
    pub default: Option<&'static str>,
    /// What it does.
    pub about: &'static str,
    /// How it is written.
    pub example: String,
}

/// All layers.
///
/// # Errors
/// An error when a layer of the list cannot be measured.
pub fn layers() -> Result<Vec<LayerLine>> {
    LAYERS.iter().map(line).collect()
}

/// The layer of a name.
///
/// # Errors
/// A fault that lists the names when there is no such layer.
pub fn layer(name: &str) -> Result<LayerLine> {
    let kind = LAYERS.iter().find(|kind| kind.name == name);
    line(kind.ok_or_else(|| unknown(name))?)
}

fn unknown(name: &str) -> Fault {
    let names: Vec<&str> = LAYERS.iter().map(|kind| kind.name).collect();
    fault("latch layers", format!("there is no layer `{name}`"), format!("take one of {}", names.join(", ")))
}

fn line(kind: &Kind) -> Result<LayerLine> {
    let sized = format!("{} {UNITS}", kind.name);
    let (example, place) = match (kind.name, kind.number) {
        ("skip", _) => (format!("samples {FEATURES} > gru {UNITS} > dense > skip"), 0),
        ("samples", _) => (format!("samples {FEATURES} > gru {UNITS} > last > dense"), 0),
        ("chars", _) => (format!("chars {WORDS} > embedding {FEATURES} > lstm {UNITS} > last > dense"), 0),
        ("text", _) => (format!("text {WORDS} > embedding {FEATURES} > lstm {UNITS} > last > dense"), 0),
        ("embedding", _) => (format!("text {WORDS} > embedding {FEATURES} > lstm {UNITS} > last > dense"), 1),
        (_, None) => (format!("text {WORDS} > embedding {FEATURES} > lstm {UNITS} > {} > dense", kind.name), 3),
        _ => (format!("text {WORDS} > embedding {FEATURES} > {sized} > mean > dense"), 2),
    };
    let model = example.parse::<ModelConfig>()?;
    let cost = costs(&model)?.into_iter().nth(place).context("every layer of a chain has its costs")?;
    let options = kind.options().map(|option| OptionLine {
        option: option.name,
        default: Some(option.default).filter(|default| !default.is_empty()),
        about: option.about,
        // Layers share options, whose examples are of one of them.
        example: option.example.replacen(option.layers[0], kind.name, 1),
    });
    Ok(LayerLine {
        layer: kind.name,
        number: kind.number,
        about: kind.about,
        options: options.collect(),
        example,
        bytes: Some(cost.bytes).filter(|_| place > 0),
        state_bytes: cost.state_bytes,
        multiply_adds: cost.multiply_adds,
    })
}

/// What the layers of a model with one output take in int8.
fn costs(model: &ModelConfig) -> Result<Vec<LayerCost>> {
    let storage = Storage::Int8;
    // The shift takes no room whatever it is.
    let chain = describe::Chain::of(&model.chain, 1, 1, storage);
    if let Some(samples) = model.samples {
        let input = Input::Samples(samples.shape(model.chain.embedding));
        let description = chain.describe(input, (0, model.chain.embedding), None, None, storage)?;
        return Ok(layer_costs(&description, &description.sections(0).collect::<Vec<Section>>()));
    }
    let vocabulary = Vocabulary::from_words((0..WORDS).map(|word| word.to_string()).collect(), model.unknown());
    let text = vocabulary.encode()?.shape(Tokens::Words, model.unknown());
    let embedding = ((text.words + text.unknown.rows()) as usize, model.chain.embedding);
    let description = chain.describe(Input::Text(text), embedding, model.tiers, None, storage)?;
    Ok(layer_costs(&description, &description.sections(0).collect::<Vec<Section>>()))
}

/// Columns in front of the options.
const BEFORE_OPTIONS: usize = 46;

/// All layers as a table of 80 columns.
pub fn table(lines: &[LayerLine]) -> String {
    let row = |first: &str, bytes: &str, state: &str, adds: &str, options: &str| {
        let indent = " ".repeat(BEFORE_OPTIONS);
        let text = paragraph(options, &indent);
        let text = text.strip_prefix(&indent).unwrap_or(&text);
        format!("{first:<18}{bytes:>6}  {state:>5}  {adds:>11}  {text}").trim_end().to_owned() + "\n"
    };
    let mut text = row("layer", "bytes", "state", "mult.-adds", "options and their defaults");
    let _ = writeln!(text, "{}", "-".repeat(80));
    for line in lines {
        let options: Vec<String> = line.options.iter().map(OptionLine::with_default).collect();
        let bytes = line.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        let (state, adds) = (line.state_bytes.to_string(), line.multiply_adds.to_string());
        text += &row(&line.heading(), &bytes, &state, &adds, &options.join(", "));
    }
    let notes = format!(
        "Bytes are those of an int8 image; state is the RAM of a stream, in bytes; mult.-adds are of one step: with {WORDS} words, \
         `embedding {FEATURES}`, and {UNITS} units in the layer, or in the lstm before a pooling. A text's words decide its own bytes. \
         `latch layers gru` explains one layer, and `latch inspect` says what those of an image take."
    );
    text + "\n" + &paragraph(&notes, "")
}

/// One layer in words.
pub fn detail(line: &LayerLine) -> String {
    let mut text = paragraph(&format!("{}: {}", line.heading(), line.about), "");
    let bytes = line.bytes.map_or(String::new(), |bytes| format!("{bytes} bytes of int8 weights, "));
    let _ = writeln!(text, "\nexample  {}", line.example);
    let takes = format!("{bytes}{} of state, {} multiply-adds a step", line.state_bytes, line.multiply_adds);
    let _ = writeln!(text, "takes    {takes}");
    for option in &line.options {
        let _ = writeln!(text, "\n{}", option.with_default());
        text += &paragraph(option.about, "    ");
        let _ = writeln!(text, "    as in {}", option.example);
    }
    text
}

impl LayerLine {
    fn heading(&self) -> String {
        self.number.map_or(self.layer.to_owned(), |number| format!("{} {number}", self.layer))
    }
}

impl OptionLine {
    /// The option with its default.
    fn with_default(&self) -> String {
        match self.default {
            Some(default) if self.option.ends_with('=') => format!("{}{default}", self.option),
            Some(default) if default != self.option => format!("{} (default {default})", self.option),
            Some(_) => format!("{} (default)", self.option),
            None => self.option.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_is_listed_within_eighty_columns_with_the_engines_numbers() {
        let lines = layers().expect("layers");
        let text = table(&lines);
        for line in text.lines().chain(lines.iter().map(detail).collect::<String>().lines()) {
            // A chain and the way to write an option are not cut.
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert_eq!(lines.len(), LAYERS.len());
        let of = |name: &str| layer(name).expect("a layer");
        // 3 gates of 16 units over 8 inputs and 16 units, and a word of features for each of 1,001 ids.
        assert_eq!((of("gru").multiply_adds, of("lstm").multiply_adds), (3 * 16 * 24, 4 * 16 * 24));
        assert!(of("embedding").bytes.is_some_and(|bytes| bytes >= 1001 * 8));
        assert!(of("mean").state_bytes > of("last").state_bytes);
        assert_eq!((of("text").bytes, of("text").multiply_adds), (None, 0));
    }

    #[test]
    fn one_layer_is_explained_with_all_of_its_options_and_another_name_is_refused() {
        let text = detail(&layer("gru").expect("a layer"));
        for word in ["gru UNITS", "reset_before", "dropout=0", "recurrent_dropout=0", "as in gru 16 reset_before"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(text.contains("as in gru 16 dropout=0.2") && !text.contains("lstm"), "{text}");
        let error = layer("gur").expect_err("no layer").to_string();
        assert!(error.contains("there is no layer `gur`") && error.contains("lstm, gru"), "{error}");
    }
}
