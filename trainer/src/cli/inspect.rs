//! `latch inspect`: what an image holds, byte by byte.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::image::header::{AnswerKind, Early, Input};
use latch_engine::image::role::Role;
use latch_engine::image::section::Section;
use latch_engine::image::{Description, Image, VERSION};
use latch_engine::input::hashed::{Hashed, Spelling};
use latch_engine::input::text::{Tokens, Unknown};
use latch_engine::layers::Layer;
use latch_engine::layers::dense::Activation;
use latch_engine::layers::gru::Gru;
use latch_engine::layers::rnn::Rnn;
use latch_engine::{Model, Precision, SELF_TEST_STEPS, SelfTest};
use serde::Serialize;

use super::output::{print, print_json};
use crate::evaluate::{open_image, read_image};
use crate::report::table;

/// Show every section of an image with offset and bytes, its shapes, scales, vocabulary, checksum, RAM and provenance.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch inspect imdb.latch")]
pub struct Args {
    /// File of the image
    image: PathBuf,
    /// Print all words of the vocabulary
    #[arg(long)]
    words: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
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
        SelfTest::Passed => format!("{SELF_TEST_STEPS} tokens, passed on this machine (backend {backend})"),
        SelfTest::Absent => "none: only integer images have one".to_owned(),
        SelfTest::Failed { expected, found } => {
            format!(
                "FAILED on this machine (backend {backend}): digest {found:016x}, and the image has {expected:016x}"
            )
        }
    })
}

/// Runs the verb.
///
/// # Errors
/// A fault when the image cannot be used.
pub fn run(args: Args) -> Result<()> {
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let model = Model::new(&image);
    let description = image.description();
    let provenance = image.provenance();
    let producer = String::from_utf8_lossy(provenance.producer);
    let data_sha256: String = provenance.data_sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let units = cells(&description);
    let (words, unknown) = match description.input {
        Input::Text(text) => (text.words, unknown_words(text.unknown)),
        Input::Ids => (0, String::new()),
    };
    if args.json {
        return print_json(&Line {
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
            chain: chain(&description),
            features: description.features().collect(),
            answer: model.answer().kind.name(),
            each_step: model.answer().each_step,
            early: model.early().collect(),
            units,
            words,
            unknown,
            state_bytes: model.state_bytes(),
            producer: producer.into(),
            seed: provenance.seed,
            data_sha256,
            examples: provenance.examples,
            epochs: provenance.epochs,
            valid_accuracy: provenance.valid_accuracy,
            header_bytes: image.header_bytes(),
            alignment_bytes: alignment_bytes(&image),
            checksum_bytes: CHECKSUM_BYTES,
            sections: image.sections().map(|section| section_line(&description, &section)).collect(),
        });
    }
    let mut text = String::new();
    writeln!(text, "image       {} bytes, format version {}, CRC-32 {:08x}", image.len(), VERSION, image.crc())?;
    writeln!(text, "chain       {}", chain(&description))?;
    writeln!(text, "precision   {}", description.precision_name())?;
    writeln!(
        text,
        "answer      {}, {}",
        match (model.answer().kind, model.outputs()) {
            (AnswerKind::Values, _) => "a value".to_owned(),
            (AnswerKind::Classes, 1) => "one of 2 classes".to_owned(),
            (AnswerKind::Classes, classes) => format!("one of {classes} classes"),
        },
        if model.answer().each_step { "after each token" } else { "for the whole text" }
    )?;
    for Early { tokens, logit } in model.early() {
        let logit = f64::from(logit) / 65_536.0;
        writeln!(text, "early       from {tokens} tokens on, a logit of at least {logit:.3} either way is certain")?;
    }
    if model.tokens() == Tokens::Syllables {
        writeln!(text, "tokens      words and marks; each Hangul syllable is a word of its own")?;
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
    writeln!(text, "RAM         {} bytes a stream: State<{}>", model.state_bytes(), model.state_bytes())?;
    let features: Vec<String> = description.features().map(|feature| format!("{feature:?}")).collect();
    writeln!(
        text,
        "Cargo.toml  latch-engine = {{ version = \"{}\", default-features = false, features = [{}] }}",
        env!("CARGO_PKG_VERSION"),
        features.join(", ")
    )?;
    writeln!(text, "self-test   {}", self_test(&model)?)?;
    writeln!(
        text,
        "provenance  {}, seed {}, {} examples, {} epochs, validation accuracy {:.2} %\n            data SHA-256 {data_sha256}",
        producer,
        provenance.seed,
        provenance.examples,
        provenance.epochs,
        100.0 * provenance.valid_accuracy
    )?;
    write!(text, "\n{}", sections_table(&image))?;
    if let Some(scales) = scales(&image) {
        write!(text, "\n{scales}")?;
    }
    if let Some(vocabulary) = model.vocabulary() {
        let words: Vec<String> =
            vocabulary.words().map(|word| String::from_utf8_lossy(word.as_bytes()).into_owned()).collect();
        if args.words {
            writeln!(text, "\nvocabulary, {} words:", words.len())?;
            words.iter().enumerate().try_for_each(|(id, word)| writeln!(text, "{id:6} {word}"))?;
        } else {
            let sample: Vec<&str> = words.iter().step_by((words.len() / 12).max(1)).map(String::as_str).collect();
            writeln!(text, "\nvocabulary  {} words, such as {} (all of them: --words)", words.len(), sample.join(" "))?;
        }
    }
    print(format_args!("{}", text.trim_end()))
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
        ) => format!("{} {} {}", layer.name(), section.layer, section.role.name()),
        (role, _) => role.name().to_owned(),
    }
}

/// Units of the recurrent layers.
fn cells(description: &Description) -> Vec<u16> {
    description.layers.iter().filter(|layer| layer.is_cell()).map(|layer| layer.outputs(0)).collect()
}

/// The chain as it is written on a command line.
pub(crate) fn chain(description: &Description) -> String {
    let input = match description.input {
        Input::Text(text) => format!("text {}", text.words),
        Input::Ids => format!("ids {}", description.embedding.rows),
    };
    let mut chain = format!("{input} > embedding {}", description.embedding.width);
    for layer in description.layers.iter() {
        let _ = match layer {
            Layer::Pooling(_) => write!(chain, " > {}", layer.name()),
            Layer::Dense(dense) if dense.activation != Activation::Linear => {
                write!(chain, " > dense {} {}", dense.outputs, dense.activation.name())
            }
            Layer::Gru(Gru { reset_after: false, units, .. }) => write!(chain, " > gru {units} reset_before"),
            Layer::Rnn(Rnn { relu: true, units, .. }) => write!(chain, " > rnn {units} relu"),
            layer => write!(chain, " > {} {}", layer.name(), layer.outputs(0)),
        };
    }
    chain
}

/// Every section with its shape, offset and bytes; header, padding and checksum included, so that the bytes add up.
pub(crate) fn sections_table(image: &Image<'_>) -> String {
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
