//! What an image holds, for people and for machines.

use std::fmt::Write as _;

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::manifest::{AnswerKind, Early, Hashed, Input, Layer, Precision, Spelling, Units, Unknown};
use latch_engine::image::tensor::{Role, Section};
use latch_engine::model::{Model, SELF_TEST_TOKENS, SelfTest};
use serde::Serialize;

use super::table;
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
    answer: &'static str,
    each_step: bool,
    early: Vec<Early>,
    units: Vec<u16>,
    words: u32,
    unknown: String,
    state_bytes: usize,
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
        let (manifest, provenance) = (image.manifest(), image.provenance());
        let (words, unknown) = input(image);
        Line {
            version: image.version(),
            image_bytes: image.len(),
            crc32: format!("{:08x}", image.crc()),
            self_test: image.self_test().map(|digest| format!("{digest:016x}")),
            precision: manifest.precision_name(),
            readout: manifest.readout.name(),
            rows: manifest.embedding.rows,
            width: manifest.embedding.width,
            folded: manifest.folded,
            outputs: manifest.head.outputs,
            answer: model.answer().kind.name(),
            each_step: model.answer().each_step,
            early: model.early().to_vec(),
            units: model.shape().units.to_vec(),
            words,
            unknown,
            state_bytes: model.state_bytes(),
            producer: String::from_utf8_lossy(provenance.producer).into_owned(),
            seed: provenance.seed,
            data_sha256: hex(&provenance.data_sha256),
            examples: provenance.examples,
            epochs: provenance.epochs,
            valid_accuracy: provenance.valid_accuracy,
            header_bytes: image.header_bytes(),
            alignment_bytes: alignment_bytes(image),
            checksum_bytes: CHECKSUM_BYTES,
            sections: image.sections().map(|section| section_line(&section)).collect(),
        }
    }
}

/// An image in words; with `words` all of its vocabulary.
///
/// # Errors
/// An error when the engine was built without the model's precision.
pub fn text(model: &Model<'_>, image: &Image<'_>, words: bool) -> Result<String> {
    let (manifest, provenance) = (image.manifest(), image.provenance());
    let units = model.shape().units.to_vec();
    let mut text = String::new();
    writeln!(
        text,
        "image       {} bytes, format version {}, CRC-32 {:08x}",
        image.len(),
        image.version(),
        image.crc()
    )?;
    let layers = if units.is_empty() { "no LSTM (a bag of embeddings)".to_owned() } else { format!("LSTM {units:?}") };
    writeln!(
        text,
        "model       {}, embedding {} x {}, {layers}, readout {}, {} output{}",
        manifest.precision_name(),
        manifest.embedding.rows,
        manifest.embedding.width,
        manifest.readout.name(),
        manifest.head.outputs,
        if manifest.head.outputs == 1 { "" } else { "s" }
    )?;
    writeln!(
        text,
        "answer      {}, {}",
        match (model.answer().kind, manifest.head.outputs) {
            (AnswerKind::Values, _) => "a value".to_owned(),
            (AnswerKind::Classes, 1) => "one of 2 classes".to_owned(),
            (AnswerKind::Classes, classes) => format!("one of {classes} classes"),
        },
        if model.answer().each_step { "after each token" } else { "for the whole text" }
    )?;
    options(&mut text, model, image)?;
    writeln!(text, "RAM         {} bytes a stream: State<{}>", model.state_bytes(), model.state_bytes())?;
    writeln!(text, "self-test   {}", self_test(model)?)?;
    writeln!(
        text,
        "provenance  {}, seed {}, {} examples, {} epochs, validation accuracy {:.2} %\n            data SHA-256 {}",
        shown(&String::from_utf8_lossy(provenance.producer)),
        provenance.seed,
        provenance.examples,
        provenance.epochs,
        100.0 * provenance.valid_accuracy,
        hex(&provenance.data_sha256)
    )?;
    write!(text, "\n{}", sections_table(image))?;
    if let Some(scales) = scales(image) {
        write!(text, "\n{scales}")?;
    }
    if let Some(vocabulary) = model.vocabulary() {
        let all: Vec<String> =
            vocabulary.words().map(|word| shown(&String::from_utf8_lossy(word.as_bytes())).into_owned()).collect();
        if words {
            writeln!(text, "\nvocabulary, {} words:", all.len())?;
            all.iter().enumerate().try_for_each(|(id, word)| writeln!(text, "{id:6} {word}"))?;
        } else {
            let sample: Vec<&str> = all.iter().step_by((all.len() / 12).max(1)).map(String::as_str).collect();
            writeln!(text, "\nvocabulary  {} words, such as {} (all of them: --words)", all.len(), sample.join(" "))?;
        }
    }
    Ok(text)
}

/// What not every image has.
fn options(text: &mut String, model: &Model<'_>, image: &Image<'_>) -> Result<()> {
    let manifest = image.manifest();
    let (_, unknown) = input(image);
    for Early { tokens, logit } in model.early() {
        let logit = f64::from(*logit) / 65_536.0;
        writeln!(text, "early       from {tokens} tokens on, a logit of at least {logit:.3} either way is certain")?;
    }
    if manifest.extended.units == Units::Syllables {
        writeln!(text, "tokens      words and marks; each Hangul syllable is a word of its own")?;
    }
    if !unknown.is_empty() {
        writeln!(text, "unknown     words that are not in the vocabulary {unknown}")?;
    }
    if let Some(tiers) = manifest.extended.tiers {
        let bits = if tiers.nibbles { 4 } else { 8 };
        let rest = match tiers.remainders {
            0 => String::new(),
            remainders => format!(", of a quotient and one of {remainders} remainders"),
        };
        writeln!(
            text,
            "tiers       {} of {} ids have whole rows; the others {} features of {bits} bits{rest}",
            tiers.whole, manifest.embedding.rows, tiers.width
        )?;
    }
    if manifest.folded > 0 {
        writeln!(
            text,
            "folded      {} of {} ids have their part of the first layer's gates ready",
            manifest.folded, manifest.embedding.rows
        )?;
    }
    Ok(())
}

/// The words of the vocabulary, and what unknown ones do.
fn input(image: &Image<'_>) -> (u32, String) {
    match image.manifest().input {
        Input::Text(text) => (text.words, unknown_words(text.unknown)),
        Input::Ids => (0, String::new()),
    }
}

fn hex(bytes: &[u8]) -> String {
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
        SelfTest::Passed => format!("{SELF_TEST_TOKENS} tokens, passed on this machine (backend {backend})"),
        SelfTest::Absent => "none: only integer images have one".to_owned(),
        SelfTest::Failed { expected, found } => {
            format!(
                "FAILED on this machine (backend {backend}): digest {found:016x}, and the image has {expected:016x}"
            )
        }
    })
}

fn section_line(section: &Section) -> SectionLine {
    SectionLine {
        name: name(section),
        element: section.element.name(),
        rows: section.rows,
        columns: section.columns,
        offset: section.offset,
        bytes: section.bytes(),
    }
}

fn name(section: &Section) -> String {
    let layer = section.layer;
    match section.role {
        Role::VocabularyTables => "vocabulary tables".into(),
        Role::VocabularyIndex => "vocabulary index".into(),
        Role::VocabularyText => "vocabulary text".into(),
        Role::Ngrams => "n-grams".into(),
        Role::Embedding => "embedding".into(),
        Role::WholeRows => "index of whole rows".into(),
        Role::Quotients => "other rows".into(),
        Role::Remainders => "their remainders".into(),
        Role::FoldedIndex => "folded index".into(),
        Role::FoldedGates => "folded gates".into(),
        Role::KernelWeights => format!("lstm {layer} kernel"),
        Role::GateWeights => format!("lstm {layer} weights"),
        Role::GateMultipliers => format!("lstm {layer} multipliers"),
        Role::GateBiases => format!("lstm {layer} biases"),
        Role::HeadWeights => "head weights".into(),
        Role::HeadMultipliers => "head multipliers".into(),
        Role::HeadBiases => "head biases".into(),
    }
}

/// Every section with its shape, offset and bytes; header, padding and checksum included, so that the bytes add up.
pub fn sections_table(image: &Image<'_>) -> String {
    let mut rows = vec![["section", "element", "shape", "offset", "bytes"].map(str::to_owned).to_vec()];
    rows.push(vec![
        "preamble and manifest".into(),
        String::new(),
        String::new(),
        "0".into(),
        image.header_bytes().to_string(),
    ]);
    for section in image.sections() {
        rows.push(vec![
            name(&section),
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
    if image.manifest().precision != Precision::Int8 {
        return None;
    }
    let mut text = String::new();
    for (index, Layer::Lstm(lstm)) in image.manifest().layers.iter().enumerate() {
        let section = image
            .sections()
            .find(|section| section.role == Role::GateMultipliers && usize::from(section.layer) == index)?;
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
