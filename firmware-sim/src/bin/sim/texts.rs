//! What the verbs have in common: texts or series to judge, images to judge them with, and verdicts in words.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_data::composed::into_composed;
use latch_data::counted::counted;
use latch_data::dataset::{self, Columns, Label, Part, Reading};
use latch_data::error::{fault, read_file};
use latch_data::shown::shown;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::{Logit, Model, Precision, View};
use latch_firmware_sim::app;
use latch_firmware_sim::board::{Input, Meaning, Verdict};
use latch_firmware_sim::sim::source::{Lines, Source, Text, Texts, read_whole};
use latch_firmware_sim::sim::{image_fault, no_input, probability};

use crate::series;

/// Where the texts come from.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// One text
    #[arg(long, conflicts_with = "data", allow_hyphen_values = true)]
    pub(crate) text: Option<String>,
    /// Labelled texts, or series: a file or folder in any format that `latch train` reads; from a folder with parts,
    /// the test part
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// Only the first N texts or series of --data, in their order there
    #[arg(long, value_name = "N", requires = "data", conflicts_with = "text", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    #[command(flatten)]
    pub(crate) columns: ColumnArguments,
}

/// Where the labels and texts of --data are.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ColumnArguments {
    /// Column of the labels of --data, by name or by number from 1; in JSON lines the key
    #[arg(long, value_name = "NAME|NUMBER")]
    label_column: Option<String>,
    /// Column of the texts of --data, likewise
    #[arg(long, value_name = "NAME|NUMBER")]
    text_column: Option<String>,
    /// Regular expression that finds the label in each line of --data, as its first group. The rest of the line is the text
    #[arg(long, value_name = "REGEX", conflicts_with_all = ["label_column", "text_column"])]
    label_pattern: Option<String>,
    /// Rename labels, as in ham=no,spam=yes; may be repeated. A label with a comma stands alone: 'Sales, EU=sales'
    #[arg(long, value_name = "LABEL=CLASS,…", value_parser = parse_map)]
    label_map: Vec<LabelMap>,
    /// Encoding of --data, such as latin-1, windows-1252 or mac-roman [default: UTF-8, or UTF-16 by its byte-order mark]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// Channels of the series of --data, by name or number from 1, in the order of the training [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(crate) channels: Vec<String>,
    /// What becomes of a missing value in a series of --data: an error that names it, the value before it, or zero
    #[arg(long, value_parser = ["refuse", "hold", "zero"], default_value = "refuse", hide_default_value = true)]
    pub(crate) missing: String,
}

type LabelMap = std::collections::BTreeMap<String, String>;

fn parse_map(text: &str) -> Result<LabelMap, String> {
    Columns::parse_map(text)
}

impl ColumnArguments {
    /// Those of texts.
    fn columns(&self) -> Result<Columns> {
        let given = [
            ("--channels", !self.channels.is_empty()),
            ("--missing", self.missing == "hold" || self.missing == "zero"),
        ];
        refuse(given, "the image reads texts, and not series")?;
        self.all()
    }

    /// Those of series.
    pub(crate) fn of_series(&self) -> Result<Columns> {
        let given = [("--text-column", self.text_column.is_some()), ("--label-pattern", self.label_pattern.is_some())];
        refuse(given, "the image reads series, and not texts")?;
        self.all()
    }

    fn all(&self) -> Result<Columns> {
        Ok(Columns {
            label: self.label_column.clone(),
            text: self.text_column.clone(),
            pattern: self.label_pattern.clone(),
            map: Columns::joined(self.label_map.clone())?,
            encoding: self.encoding.clone(),
        })
    }
}

/// Refuses the first option that was given and has no use.
fn refuse(options: [(&str, bool); 2], problem: &str) -> Result<()> {
    match options.into_iter().find(|(_, given)| *given) {
        Some((option, _)) => Err(fault(option, problem, "leave it out").into()),
        None => Ok(()),
    }
}

/// What an image answers: what its outputs mean, and the names of its classes.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    pub(crate) meaning: Meaning,
    /// Of values nothing.
    pub(crate) classes: Vec<String>,
    /// Values of a frame of samples; 0 of an image of texts.
    pub(crate) channels: usize,
}

impl Answers {
    /// Those of an image.
    pub(crate) fn of(image: &Image<'_>) -> Self {
        let model = Model::new(image);
        let meaning = Meaning::of(&model);
        Answers { meaning, classes: meaning.class_names(image), channels: model.channels().into() }
    }

    /// Those of a board whose image is not at hand: classes are numbers.
    pub(crate) fn numbered(meaning: Meaning, channels: usize) -> Self {
        Answers { meaning, classes: dataset::numbered(meaning.task().classes() as usize), channels }
    }

    /// What is judged, and what is read at a step.
    pub(crate) fn things(&self) -> [&'static str; 2] {
        if self.channels > 0 { ["series", "step"] } else { ["text", "token"] }
    }

    /// The name of a class.
    pub(crate) fn class(&self, class: u16) -> String {
        self.classes.get(usize::from(class)).cloned().unwrap_or_else(|| class.to_string())
    }

    /// The name of a class as it stands in a sentence: a bare number says what it is.
    fn called(&self, class: u16) -> String {
        let name = self.class(class);
        let name = shown(&name);
        if name.bytes().all(|byte| byte.is_ascii_digit()) { format!("class {name}") } else { name.into_owned() }
    }

    /// The name of the class of a verdict, for machines; `None` of a value.
    pub(crate) fn class_of(&self, verdict: &Verdict) -> Option<String> {
        (!self.meaning.values).then(|| self.class(verdict.class))
    }

    /// The probability of the second of two classes, or of the answered one of several, where it is known.
    pub(crate) fn probability_of(&self, verdict: &Verdict, of_several: Option<f64>) -> Option<f32> {
        let is_binary = self.meaning.task().is_binary();
        if is_binary { Some(verdict.logit.probability()) } else { of_several.map(|probability| probability as f32) }
    }

    /// How labels are read that such answers can be judged by.
    pub(crate) fn reading(&self, columns: &ColumnArguments) -> Result<Reading> {
        Ok(Reading::of(self.meaning.task()).among(&self.classes).within(columns.columns()?))
    }

    /// A verdict for people, with the probability of the answer among several classes, where it is known.
    pub(crate) fn sentence(&self, verdict: &Verdict, of_several: Option<f64>) -> String {
        let Verdict { class, logit, tokens } = verdict;
        let meaning = self.meaning;
        let step = self.things()[1];
        let last = if meaning.each_step && *tokens > 0 { format!("after the last {step}: ") } else { String::new() };
        let read = match tokens {
            0 if self.channels > 0 => "; the series has no step, so this is only the default answer".to_owned(),
            0 => "; the text has no known word, so this is only the default answer".to_owned(),
            tokens => format!(", {}", counted(*tokens, step)),
        };
        if meaning.values {
            return format!("{last}value {:.4}{read}", logit.to_f32());
        }
        let name = self.called(*class);
        match of_several {
            Some(probability) if meaning.outputs > 1 => {
                format!("{last}{name}, probability {probability:.4} of {name}{read}")
            }
            _ if meaning.outputs > 1 => format!("{last}{name}, logit {:.4}{read}", logit.to_f32()),
            _ => format!("{last}{name}, probability {:.4} of {}{read}", logit.probability(), self.called(1)),
        }
    }
}

impl Arguments {
    /// The texts or series of --data.
    pub(crate) fn labelled(
        &self,
        path: &Path,
        limit: Option<u64>,
        answers: &Answers,
        image: Option<&Loaded>,
    ) -> Result<Examples> {
        labelled(path, limit, (answers, image), &self.columns)
    }

    /// The texts, as they arrive. Without --text and --data every line of standard input is one. Series come from
    /// --data, and need their image.
    pub(crate) fn source(&self, answers: &Answers, image: Option<&Loaded>) -> Result<Box<dyn Source>> {
        if answers.channels > 0 && self.data.is_none() {
            let place = if self.text.is_some() { "--text" } else { "standard input" };
            let problem = "the image reads samples of sensors, and no text";
            return Err(fault(place, problem, "name a file of series, as in --data recordings.ts").into());
        }
        Ok(match (&self.text, &self.data) {
            (Some(text), _) => {
                let bytes = into_composed(text.clone()).into();
                Box::new(Texts::new(std::iter::once(Ok(Text { bytes, label: None }))))
            }
            (None, Some(path)) => Box::new(Texts::new(self.labelled(path, self.limit, answers, image)?)),
            (None, None) => {
                if io::stdin().is_terminal() {
                    eprintln!("latch-sim: type a text and press Enter; Ctrl-D (Ctrl-Z on Windows) ends");
                }
                Box::new(Lines::new(io::stdin().lock()))
            }
        })
    }

    /// The same texts, all at once; a fault when there are none.
    pub(crate) fn all(&self, image: &Loaded) -> Result<Vec<Text>> {
        let mut source = self.source(&image.answers, Some(image))?;
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

/// Texts or series, one after the other.
pub(crate) type Examples = Box<dyn Iterator<Item = Result<Text>>>;

/// The first texts or series of a data set. Only classes of whole ones are kept as labels: `latch eval` judges the
/// others.
pub(crate) fn labelled(
    path: &Path,
    limit: Option<u64>,
    (answers, image): (&Answers, Option<&Loaded>),
    columns: &ColumnArguments,
) -> Result<Examples> {
    if answers.channels > 0 {
        let Some(image) = image else {
            let problem = "the board reads samples, and what a count stands for is in its image";
            return Err(fault("--data", problem, "name the image as well, with --image").into());
        };
        return Ok(Box::new(series::labelled(path, limit, image, columns)?.into_iter().map(Ok)));
    }
    let reading = &answers.reading(columns)?;
    let examples = dataset::open_for(path, Part::Test, reading)?.take(limit.map_or(usize::MAX, |limit| limit as usize));
    Ok(Box::new(examples.map(|example| {
        example.map(|example| Text {
            bytes: example.text.into_bytes(),
            label: if let Label::Class(class) = example.label { Some(class) } else { None },
        })
    })))
}

/// The fault of an input without a text.
pub(crate) fn no_text() -> latch_data::error::Fault {
    fault("standard input", "there is no text in it", "write one text per line, or give --text or --data")
}

/// What all texts together gave.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) labelled: u64,
    pub(crate) correct: u64,
    pub(crate) last: Option<Verdict>,
    /// That of the last answer, among several classes.
    pub(crate) probability: Option<f64>,
}

impl Tally {
    pub(crate) fn add(&mut self, verdict: Verdict, probability: Option<f64>, label: Option<u32>) {
        self.labelled += u64::from(label.is_some());
        self.correct += u64::from(label == Some(u32::from(verdict.class)));
        self.last = Some(verdict);
        self.probability = probability;
    }

    pub(crate) fn accuracy(&self) -> Option<f64> {
        (self.labelled > 0).then(|| self.correct as f64 / self.labelled as f64)
    }
}

/// How far a float logit of a board may lie from this machine's, relative to 1 + the logit: other orders of sums.
pub(crate) const FLOAT_TOLERANCE: f32 = 1e-4;

/// The largest file that is read in search of an image. No part has as much flash.
const LARGEST_FILE: u64 = 64 << 20;

pub(crate) fn read_image(path: &Path) -> Result<Vec<u8>> {
    read_file(path, LARGEST_FILE)
}

/// An image that reads texts or samples, and what is in it.
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
    pub(crate) answers: Answers,
}

impl Loaded {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = AlignedBytes::new(&read_image(path)?);
        let (crc, precision, precision_name, features, state_bytes, answers) = {
            let image = Image::open(&bytes).map_err(|error| image_fault(&path.display().to_string(), &error))?;
            let model = Model::new(&image);
            if model.vocabulary().is_none() && model.channels() == 0 {
                return Err(no_input(&path.display().to_string()).into());
            }
            (
                image.crc(),
                model.precision(),
                image.description().precision_name(),
                image.description().features().filter(|&feature| feature != "float").collect(),
                model.state_bytes(),
                Answers::of(&image),
            )
        };
        Ok(Loaded { path: path.to_owned(), bytes, crc, precision, precision_name, features, state_bytes, answers })
    }

    /// The probability of a board's answer to a text, among several classes. A board tells one logit, so that the others are this machine's; `None`
    /// where this machine answers with another class or logit.
    pub(crate) fn probability(&self, text: &[u8], verdict: &Verdict) -> Result<Option<f64>> {
        let image = Image::open(&self.bytes)?;
        let model = Model::new(&image);
        let meaning = self.answers.meaning;
        let mut state = AlignedBytes::zeroed(self.state_bytes);
        let mut session = model.session_in(&mut state)?;
        read_whole(&mut session, text, |_, _| {})?;
        let here = app::verdict(&mut session, meaning);
        let (found, expected) = (verdict.logit.to_f32(), here.logit.to_f32());
        let agrees =
            here.class == verdict.class && (found - expected).abs() <= FLOAT_TOLERANCE * (1.0 + expected.abs());
        Ok(if agrees { probability(&mut session, meaning) } else { None })
    }

    /// The tokens that the network reads of a text, and the first logit after each, by this machine's widest backend.
    /// A frame has no word.
    pub(crate) fn tokens(&self, text: &[u8]) -> Result<Vec<(String, Logit)>> {
        let image = Image::open(&self.bytes)?;
        let model = Model::new(&image);
        let mut state = AlignedBytes::zeroed(self.state_bytes);
        let mut session = model.session_in(&mut state)?;
        let mut tokens = Vec::new();
        read_whole(&mut session, text, |session: &mut View<'_, '_, '_>, token| {
            tokens.push((String::from_utf8_lossy(token).into_owned(), session.output()));
        })?;
        Ok(tokens)
    }
}
