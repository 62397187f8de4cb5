//! What the verbs have in common: texts to judge, images to judge them with, and verdicts in words.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_data::composed::into_composed;
use latch_data::dataset::{self, Label, Part, Task};
use latch_data::error::{fault, read_file};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::{Logit, Model, Precision, View};
use latch_firmware_sim::board::{Input, Meaning, Verdict};
use latch_firmware_sim::sim::source::{Lines, Source, Text, Texts};
use latch_firmware_sim::sim::{image_fault, no_vocabulary};

/// Where the texts come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One text
    #[arg(long, conflicts_with = "data", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Labelled texts: a file or folder in any format that the trainer reads; of a folder with parts, the test part
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// Only the first N texts of --data, in their order there
    #[arg(long, value_name = "N", requires = "data", conflicts_with = "text", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

impl Arguments {
    /// The texts, as they arrive. Without --text and --data every line of standard input is one.
    /// `task` is that of the image.
    pub(crate) fn source(&self, task: Task) -> Result<Box<dyn Source>> {
        Ok(match (&self.text, &self.data) {
            (Some(text), _) => {
                let bytes = into_composed(text.clone()).into();
                Box::new(Texts::new(std::iter::once(Ok(Text { bytes, label: None }))))
            }
            (None, Some(path)) => Box::new(Texts::new(labelled(path, self.limit, task)?)),
            (None, None) => {
                if io::stdin().is_terminal() {
                    eprintln!("latch-sim: type a text and press Enter; Ctrl-D (Ctrl-Z on Windows) ends");
                }
                Box::new(Lines::new(io::stdin().lock()))
            }
        })
    }

    /// The same texts, all at once; a fault when there are none.
    pub(crate) fn all(&self, task: Task) -> Result<Vec<Text>> {
        let mut source = self.source(task)?;
        let (mut texts, mut open) = (Vec::new(), Vec::new());
        let mut buffer = [0; 256];
        loop {
            let input = source.read(&mut buffer)?;
            match input {
                Input::Bytes(count) => open.extend_from_slice(buffer.get(..count).unwrap_or(&buffer)),
                Input::End if open.is_empty() => {}
                Input::EndOfText | Input::End => {
                    texts.push(Text { bytes: std::mem::take(&mut open), label: source.label() });
                }
                Input::Restart => open.clear(),
            }
            if input == Input::End {
                return if texts.is_empty() { Err(no_text().into()) } else { Ok(texts) };
            }
        }
    }
}

/// The first texts of a data set. Only classes of whole texts are kept as labels: `latch eval` judges the others.
pub(crate) fn labelled(
    path: &Path,
    limit: Option<u64>,
    task: Task,
) -> Result<impl Iterator<Item = Result<Text>> + use<>> {
    let examples = dataset::open_for(path, Part::Test, task)?.take(limit.map_or(usize::MAX, |limit| limit as usize));
    Ok(examples.map(|example| {
        example.map(|example| Text {
            bytes: example.text.into_bytes(),
            label: if let Label::Class(class) = example.label { Some(class) } else { None },
        })
    }))
}

/// The fault of an input without a text.
pub(crate) fn no_text() -> latch_data::error::Fault {
    fault("standard input", "there is no text in it", "write one text a line, or give --text or --data")
}

/// What all texts together gave.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) labelled: u64,
    pub(crate) correct: u64,
    pub(crate) last: Option<Verdict>,
}

impl Tally {
    pub(crate) fn add(&mut self, verdict: Verdict, label: Option<u32>) {
        self.labelled += u64::from(label.is_some());
        self.correct += u64::from(label == Some(u32::from(verdict.class)));
        self.last = Some(verdict);
    }

    pub(crate) fn accuracy(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.correct as f64 / self.labelled as f64)
    }
}

/// The largest file that is read in search of an image. No part has as much flash.
const LARGEST_FILE: u64 = 64 << 20;

pub(crate) fn read_image(path: &Path) -> Result<Vec<u8>> {
    read_file(path, LARGEST_FILE)
}

/// An image that reads text, and what is in it.
pub(crate) struct Loaded {
    pub(crate) path: PathBuf,
    pub(crate) bytes: AlignedBytes,
    pub(crate) crc: u32,
    pub(crate) precision: Precision,
    /// The precision as it is written on a command line.
    pub(crate) precision_name: &'static str,
    /// What of the engine it needs beside floats.
    pub(crate) features: Vec<&'static str>,
    pub(crate) state_bytes: usize,
    pub(crate) meaning: Meaning,
}

impl Loaded {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = AlignedBytes::new(&read_image(path)?);
        let (crc, precision, precision_name, features, state_bytes, meaning) = {
            let image = Image::open(&bytes).map_err(|error| image_fault(&path.display().to_string(), &error))?;
            let model = Model::new(&image);
            if model.vocabulary().is_none() {
                return Err(no_vocabulary(&path.display().to_string()).into());
            }
            (
                image.crc(),
                model.precision(),
                image.description().precision_name(),
                image.description().features().filter(|&feature| feature != "float").collect(),
                model.state_bytes(),
                Meaning::of(&model),
            )
        };
        Ok(Loaded { path: path.to_owned(), bytes, crc, precision, precision_name, features, state_bytes, meaning })
    }

    /// The tokens that the network reads of a text, and the first logit after each, by this machine's widest backend.
    pub(crate) fn tokens(&self, text: &[u8]) -> Result<Vec<(String, Logit)>> {
        let image = Image::open(&self.bytes)?;
        let model = Model::new(&image);
        let mut state = AlignedBytes::zeroed(self.state_bytes);
        let mut session = model.session_in(&mut state)?;
        let mut tokens = Vec::new();
        let mut each = |session: &mut View<'_, '_, '_>, token: &[u8]| {
            tokens.push((String::from_utf8_lossy(token).into_owned(), session.output()));
        };
        session.push_bytes_each(text, &mut each);
        session.finish_each(&mut each);
        Ok(tokens)
    }
}

/// A verdict for people. The names of classes are those of the trainer where there are two.
pub(crate) fn sentence(verdict: &Verdict, meaning: Meaning) -> String {
    let Verdict { class, logit, tokens } = verdict;
    let last = if meaning.each_step { "after the last token: " } else { "" };
    if meaning.values {
        return format!("{last}value {:.4}, {tokens} tokens", logit.to_f32());
    }
    if meaning.outputs > 1 {
        return format!("{last}class {class}, logit {:.4}, {tokens} tokens", logit.to_f32());
    }
    let name = ["negative", "positive"][usize::from(*class > 0)];
    format!("{last}{name}, probability of positive {:.4}, {tokens} tokens", logit.probability())
}
