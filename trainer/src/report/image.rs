//! What an image holds, for people and for machines.

use std::fmt::Write as _;

use anyhow::Result;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::{AnswerKind, Early, Input};
use latch_engine::image::role::Role;
use latch_engine::image::section::Section;
use latch_engine::image::{Description, Image, VERSION};
use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::layers::Layer;
use latch_engine::{Model, Precision, SELF_TEST_STEPS, SelfTest};
use latch_firmware_sim::sim::budget::{STACK_RESERVE, firmware_stack};
use serde::Serialize;

use super::table::table;
use crate::counted::counted;
use crate::dataset::list;
use crate::quantizer::THRESHOLD;
use crate::shown::shown;

/// An image as one line of JSON has it.
#[derive(Serialize)]
pub struct Line {
    version: u16,
    image_bytes: usize,
    crc32: String,
    self_test: Option<String>,
    precision: &'static str,
    readout: &'static str,
    rows: u32,
    width: u16,
    folded: u32,
    outputs: u16,
    chain: String,
    features: Vec<&'static str>,
    answer: &'static str,
    /// The names of the classes in the order of their numbers; nothing where the answer is a value, or the image has no names.
    classes: Vec<String>,
    each_step: bool,
    early: Vec<Early>,
    /// Steps of the prefix that streams begin behind, 0 where they begin in a learned state; nothing without a start state.
    start_steps: Option<u32>,
    units: Vec<u16>,
    words: u32,
    unknown: String,
    state_bytes: usize,
    stack_bytes: usize,
    producer: String,
    seed: u64,
    data_sha256: String,
    examples: u32,
    epochs: u32,
    valid_accuracy: f32,
    header_bytes: usize,
    alignment_bytes: usize,
    checksum_bytes: usize,
    sections: Vec<SectionLine>,
}

#[derive(Serialize)]
struct SectionLine {
    name: String,
    element: &'static str,
    rows: usize,
    columns: usize,
    offset: usize,
    bytes: usize,
}

impl Line {
    /// What a model's image holds.
    pub fn of(model: &Model<'_>, image: &Image<'_>) -> Self {
        let (description, provenance) = (image.description(), image.provenance());
        let (words, unknown) = input(image);
        Line {
            version: VERSION,
            image_bytes: image.len(),
            crc32: format!("{:08x}", image.crc()),
            self_test: image.self_test().map(|digest| format!("{digest:016x}")),
            precision: description.precision_name(),
            readout: description.pooling().name(),
            rows: description.embedding.rows,
            width: description.embedding.width,
            folded: description.embedding.projected,
            outputs: model.outputs(),
            chain: description.to_string(),
            features: description.features().collect(),
            answer: model.answer().kind.name(),
            classes: image.class_names().map(str::to_owned).collect(),
            each_step: model.answer().each_step,
            early: model.early().collect(),
            start_steps: description.start.steps(),
            units: description.layers.iter().filter(|layer| layer.is_cell()).map(|layer| layer.outputs(0)).collect(),
            words,
            unknown,
            state_bytes: model.state_bytes(),
            stack_bytes: firmware_stack(&description),
            producer: String::from_utf8_lossy(provenance.producer).into_owned(),
            seed: provenance.seed,
            data_sha256: hex(&provenance.data_sha256),
            examples: provenance.examples,
            epochs: provenance.epochs,
            valid_accuracy: provenance.valid_accuracy,
            header_bytes: image.header_bytes(),
            alignment_bytes: alignment_bytes(image),
            checksum_bytes: CHECKSUM_BYTES,
            sections: image.sections().map(|section| section_line(&description, &section)).collect(),
        }
    }
}

/// An image in words; with `words` all of its vocabulary.
///
/// # Errors
/// An error when the engine was built without the model's precision.
pub fn text(model: &Model<'_>, image: &Image<'_>, words: bool) -> Result<String> {
    let (description, provenance) = (image.description(), image.provenance());
    let mut text = String::new();
    writeln!(text, "image       {} bytes, format version {}, CRC-32 {:08x}", image.len(), VERSION, image.crc())?;
    writeln!(text, "chain       {description}")?;
    writeln!(text, "precision   {}", description.precision_name())?;
    writeln!(
        text,
        "answer      {}, {}",
        match (model.answer().kind, model.outputs()) {
            (AnswerKind::Values, _) => "a value".to_owned(),
            (AnswerKind::Classes, 1) => "one of 2 classes".to_owned(),
            (AnswerKind::Classes, classes) => format!("one of {classes} classes"),
        },
        match (model.answer().each_step, model.channels() > 0) {
            (true, false) => "after each token",
            (true, true) => "after each step",
            (false, false) => "for the whole text",
            (false, true) => "for the whole series",
        }
    )?;
    let classes: Vec<String> = image.class_names().map(|name| shown(name).into_owned()).collect();
    if !classes.is_empty() {
        let logit = match (&classes[..], model.outputs()) {
            ([_, second], 1) => format!("; the logit stands for {second}"),
            _ => String::new(),
        };
        writeln!(text, "classes     {}{logit}", list(&classes))?;
    }
    options(&mut text, model, image)?;
    writeln!(text, "RAM         {} bytes a stream: State<{}>", model.state_bytes(), model.state_bytes())?;
    writeln!(
        text,
        "stack       {} bytes at most, in a firmware on emulated boards; a board sets {STACK_RESERVE} aside, for interrupts too",
        firmware_stack(&description)
    )?;
    let features: Vec<String> = description.features().map(|feature| format!("{feature:?}")).collect();
    writeln!(
        text,
        "Cargo.toml  latch-engine = {{ version = \"{}\", default-features = false, features = [{}] }}",
        env!("CARGO_PKG_VERSION"),
        features.join(", ")
    )?;
    writeln!(text, "self-test   {}", self_test(model)?)?;
    writeln!(
        text,
        "provenance  {}, seed {}, {}, {}, {}\n            data SHA-256 {}",
        shown(&String::from_utf8_lossy(provenance.producer)),
        provenance.seed,
        counted(provenance.examples, "example"),
        counted(provenance.epochs, "epoch"),
        match model.answer().kind {
            AnswerKind::Values => format!("validation R² {:.4}", provenance.valid_accuracy),
            AnswerKind::Classes => format!("validation accuracy {:.2} %", 100.0 * provenance.valid_accuracy),
        },
        hex(&provenance.data_sha256)
    )?;
    write!(text, "\n{}", layers_table(image))?;
    write!(text, "\n{}", sections_table(image))?;
    if let Some(scales) = scales(image) {
        write!(text, "\n{scales}")?;
    }
    if let Some(vocabulary) = model.vocabulary() {
        let all: Vec<String> =
            vocabulary.words().map(|word| shown(&String::from_utf8_lossy(word.as_bytes())).into_owned()).collect();
        if words {
            writeln!(text, "\nvocabulary, {}:", counted(all.len(), "word"))?;
            all.iter().enumerate().try_for_each(|(id, word)| writeln!(text, "{id:6} {word}"))?;
        } else {
            let sample: Vec<&str> = all.iter().step_by((all.len() / 12).max(1)).map(String::as_str).collect();
            writeln!(
                text,
                "\nvocabulary  {}, such as {} (all of them: --words)",
                counted(all.len(), "word"),
                sample.join(" ")
            )?;
        }
    }
    Ok(text)
}

/// What not every image has.
fn options(text: &mut String, model: &Model<'_>, image: &Image<'_>) -> Result<()> {
    let description = image.description();
    let (_, unknown) = input(image);
    for Early { tokens, logit } in model.early() {
        let logit = f64::from(logit) / 65_536.0;
        writeln!(text, "early       from {tokens} tokens on, a logit of at least {logit:.3} either way is certain")?;
    }
    if let Some((_, threshold)) = image.metadata().find(|(key, _)| *key == THRESHOLD) {
        writeln!(text, "threshold   chosen: a probability of 0.5 of this image was {threshold} of the network")?;
    }
    match description.start.steps() {
        Some(0) => writeln!(text, "start       a stream begins in the initial state that the network learned")?,
        Some(steps) if model.channels() > 0 => {
            writeln!(text, "start       a stream begins after {}", counted(steps, "frame"))?
        }
        Some(steps) => writeln!(text, "start       a stream begins after {}", counted(steps, "token"))?,
        None => {}
    }
    let tokens = match model.tokens() {
        Tokens::Words => None,
        Tokens::Syllables => Some("words and marks; each Hangul syllable is a word of its own"),
        Tokens::Characters => Some("characters, letters in lower case; a space between words"),
        Tokens::CasedCharacters => Some("characters, letters in their case; a space between words"),
    };
    if let Some(tokens) = tokens {
        writeln!(text, "tokens      {tokens}")?;
    }
    let characters = model.characters().entries().count();
    if characters > 0 {
        writeln!(text, "characters  {characters} entries for those beyond ASCII, {} bytes", 4 * characters)?;
    }
    if !unknown.is_empty() {
        writeln!(text, "unknown     words that are not in the vocabulary {unknown}")?;
    }
    if let Some(tiers) = description.embedding.tiers {
        let bits = if tiers.int4 { 4 } else { 8 };
        let rest = match tiers.remainders {
            0 => String::new(),
            remainders => format!(", of a quotient and one of {remainders} remainders"),
        };
        writeln!(
            text,
            "tiers       {} of {} ids have whole rows; the others {} features of {bits} bits{rest}",
            tiers.whole, description.embedding.rows, tiers.width
        )?;
    }
    if description.embedding.projected > 0 {
        writeln!(
            text,
            "projected   {} of {} ids have their part of the first layer's sums ready",
            description.embedding.projected, description.embedding.rows
        )?;
    }
    Ok(())
}

/// The words of the vocabulary, and what unknown ones do.
fn input(image: &Image<'_>) -> (u32, String) {
    match image.description().input {
        Input::Text(text) => (text.words, unknown_words(text.unknown)),
        Input::Ids | Input::Samples(_) => (0, String::new()),
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What words do that are not in the vocabulary.
fn unknown_words(unknown: Unknown) -> String {
    match unknown {
        Unknown::Skip => "are left out".to_owned(),
        Unknown::LastRow => "share one row".to_owned(),
        Unknown::Hashed(Hashed { rows, of: Spelling::Whole }) => format!("share {rows} rows by their hash"),
        Unknown::Hashed(Hashed { rows, of: Spelling::Ending }) => {
            format!("share {rows} rows by the hash of their last three characters")
        }
    }
}

/// What the self-test says on this machine.
fn self_test(model: &Model<'_>) -> Result<String> {
    let backend = model.backend().name();
    Ok(match model.self_test(&mut AlignedBytes::zeroed(model.state_bytes()))? {
        SelfTest::Passed => {
            let steps = if model.channels() > 0 { "steps" } else { "tokens" };
            format!("{SELF_TEST_STEPS} {steps}, passed on this machine (backend {backend})")
        }
        SelfTest::Absent => "none: only integer images have one".to_owned(),
        SelfTest::Failed { expected, found } => {
            format!(
                "FAILED on this machine (backend {backend}): digest {found:016x}, and the image has {expected:016x}"
            )
        }
    })
}

fn section_line(description: &Description, section: &Section) -> SectionLine {
    SectionLine {
        name: name(description, section),
        element: section.element.name(),
        rows: section.rows,
        columns: section.columns,
        offset: section.offset,
        bytes: section.bytes(),
    }
}

/// A section's name: its layer and what it holds.
fn name(description: &Description, section: &Section) -> String {
    let layer = description.layers.get(usize::from(section.layer));
    match (section.role, layer) {
        (
            Role::Kernel
            | Role::Weights
            | Role::Multipliers
            | Role::Biases
            | Role::RecurrentWeights
            | Role::RecurrentMultipliers
            | Role::RecurrentBiases,
            Some(layer),
        ) => format!("{} {} {}", section.layer, layer.name(), section.role.name()),
        (role, _) => role.name().to_owned(),
    }
}

/// What a layer takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LayerCost {
    /// The layer as a chain has it, behind its place from 0; `input` and the embedding come first, without a place.
    pub layer: String,
    /// Bytes in the image.
    pub bytes: usize,
    /// Bytes of a stream's state.
    pub state_bytes: usize,
    /// Multiply-adds of a step.
    pub multiply_adds: usize,
}

/// What the input, the embedding and every layer of an image take.
pub fn layer_costs(description: &Description, sections: &[Section]) -> Vec<LayerCost> {
    let bytes = |is: &dyn Fn(&Section) -> bool| -> usize {
        sections.iter().filter(|section| is(section)).map(Section::bytes).sum()
    };
    let of_embedding = [
        Role::Embedding,
        Role::WholeRows,
        Role::Quotients,
        Role::Remainders,
        Role::ProjectedIndex,
        Role::ProjectedRows,
    ];
    let of_input = [
        Role::VocabularyTables,
        Role::VocabularyIndex,
        Role::VocabularyText,
        Role::Ngrams,
        Role::Units,
        Role::Scaling,
        Role::Skip,
    ];
    let cost = |layer: String, bytes: usize, state_bytes: usize, multiply_adds: usize| LayerCost {
        layer,
        bytes,
        state_bytes,
        multiply_adds,
    };
    let mut costs = vec![cost("input".to_owned(), bytes(&|section| of_input.contains(&section.role)), 0, 0)];
    if description.samples().is_none() {
        let name = format!("embedding {}", description.embedding.width);
        costs.push(cost(name, bytes(&|section| of_embedding.contains(&section.role)), 0, 0));
    }
    let mut inputs = description.width();
    for (place, layer) in description.layers.iter().enumerate() {
        let weights = bytes(&|section| {
            usize::from(section.layer) == place
                && !of_embedding.contains(&section.role)
                && !of_input.contains(&section.role)
                && section.role != Role::Start
        });
        let state = layer.state_bytes(description.precision, inputs);
        costs.push(cost(format!("{place} {layer}"), weights, state, layer.multiply_adds()));
        inputs = layer.outputs(inputs);
    }
    if description.start.steps().is_some() {
        costs.push(cost(Role::Start.name().to_owned(), bytes(&|section| section.role == Role::Start), 0, 0));
    }
    costs
}

/// [`layer_costs`] of an image.
pub fn layers(image: &Image<'_>) -> Vec<LayerCost> {
    layer_costs(&image.description(), &image.sections().collect::<Vec<_>>())
}

/// Every layer with its bytes in the image, its bytes of state and its multiply-adds a step.
fn layers_table(image: &Image<'_>) -> String {
    let mut rows = vec![["layer", "bytes", "state", "multiply-adds"].map(str::to_owned).to_vec()];
    for cost in layers(image) {
        let numbers = [cost.bytes, cost.state_bytes, cost.multiply_adds].map(|number| number.to_string());
        rows.push([vec![cost.layer], numbers.to_vec()].concat());
    }
    table(&rows)
}

/// Every section with its shape, offset and bytes; header, padding and checksum included, so that the bytes add up.
pub fn sections_table(image: &Image<'_>) -> String {
    let description = image.description();
    let mut rows = vec![["section", "element", "shape", "offset", "bytes"].map(str::to_owned).to_vec()];
    rows.push(vec!["header".into(), String::new(), String::new(), "0".into(), image.header_bytes().to_string()]);
    for section in image.sections() {
        rows.push(vec![
            name(&description, &section),
            section.element.name().into(),
            format!("{} x {}", section.rows, section.columns),
            section.offset.to_string(),
            section.bytes().to_string(),
        ]);
    }
    let end = image.len() - CHECKSUM_BYTES;
    rows.push(vec![
        "alignment".into(),
        String::new(),
        String::new(),
        String::new(),
        alignment_bytes(image).to_string(),
    ]);
    rows.push(vec!["CRC-32".into(), String::new(), String::new(), end.to_string(), CHECKSUM_BYTES.to_string()]);
    rows.push(vec!["all".into(), String::new(), String::new(), String::new(), image.len().to_string()]);
    table(&rows)
}

/// Bytes of the CRC-32 at an image's end.
const CHECKSUM_BYTES: usize = 4;

/// The zeros between the sections, which begin on multiples of 16.
fn alignment_bytes(image: &Image<'_>) -> usize {
    let sections: usize = image.sections().map(|section| section.bytes()).sum();
    image.len() - CHECKSUM_BYTES - image.header_bytes() - sections
}

/// The range of the row scales of each integer layer: real weight = integer · scale, for the columns of h.
fn scales(image: &Image<'_>) -> Option<String> {
    if image.description().precision != Precision::Int8 {
        return None;
    }
    let mut text = String::new();
    for (index, layer) in image.description().layers.iter().enumerate() {
        let Layer::Lstm(lstm) = layer else { continue };
        let section = image
            .sections()
            .find(|section| section.role == Role::Multipliers && usize::from(section.layer) == index)?;
        let multipliers =
            image.section_bytes(&section).chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let (low, high) =
            multipliers.fold((u16::MAX, 0), |(low, high), multiplier| (low.min(multiplier), high.max(multiplier)));
        // s = M / 2^(12 + shift) for z; a column of h is in steps of 1/128.
        let scale = |multiplier: u16| f64::from(multiplier) / 2_f64.powi(12 + i32::from(lstm.shift)) * 128.0;
        let line = format!(
            "lstm {index}      row multipliers {low} to {high}, shift {}: recurrent weights in steps of {:.6} to {:.6}\n",
            lstm.shift,
            scale(low),
            scale(high)
        );
        text.push_str(&line);
    }
    Some(text)
}
