//! What the integers of an image are calibrated on in place of a run's training part: examples whose labels are not needed, as `latch export --calibrate` names them. A
//! model of texts that came without any data is judged on seeded texts of its own words.
//!
//! Calibration sets how often each id occurs, which says what rows of the embedding are kept exactly; the ranges of convolutions; and of an imported model of samples how
//! far each channel reaches.

use std::path::Path;

use anyhow::Result;
use latch_data::series::{self, Missing};
use latch_engine::Model;
use latch_engine::image::Image;
use rand::RngExt;

use super::{Made, Source, Trained};
use crate::batches::generator;
use crate::composed::into_composed;
use crate::config::{RunConfig, SeriesConfig};
use crate::counted::counted;
use crate::dataset::{Columns, Dataset, Example, Label, MAX_LINE, Part, Reading, Recording, Task, memory_limit};
use crate::error::{Fault, fault, read_text};
use crate::evaluate::evaluate;
use crate::exchange::samples::{Probe, reaching};
use crate::metrics::class_of;
use crate::runs::recordings::{load_for, no_missing_texts, reading_to_answer};
use crate::vocabulary::Vocabulary;

/// Seeded texts of a model of texts without data, and words of each.
const SEEDED: usize = 64;

/// Examples with labels that mean nothing.
pub struct Unlabelled {
    /// The examples.
    pub examples: Vec<Example<Label>>,
    /// What they are of, in words.
    pub of: String,
}

/// What an export takes in place of what its run has.
pub(super) struct Given {
    /// What is calibrated on.
    pub(super) calibration: Option<Unlabelled>,
    /// What a run of texts without any data is judged on; none where there is something else.
    seeded: Option<Unlabelled>,
    vocabulary: Option<Vocabulary>,
    occurrences: Option<Vec<u32>>,
}

/// Where examples to calibrate on are, and how they are read.
pub(super) struct Place<'a> {
    /// Their path.
    pub(super) path: &'a Path,
    /// Where labels and texts are in them.
    pub(super) columns: &'a Columns,
    /// What becomes of their missing values.
    pub(super) missing: Option<Missing>,
}

impl Given {
    /// Reads what is calibrated on, where a place is given; `judges` says that there are other examples to judge an image by.
    ///
    /// # Errors
    /// A fault when the examples cannot be read, or when nothing of them is read by the network.
    pub(super) fn of(run: &Trained, place: Option<&Place<'_>>, judges: bool) -> Result<Self> {
        let opened = &run.opened;
        let (config, vocabulary) = (&opened.config, &opened.vocabulary);
        let has_data = judges || opened.probe.is_some() || !config.data.as_os_str().is_empty();
        let seeded = (place.is_none() && !has_data).then(|| seeded(vocabulary, config.train.task));
        let Some(place) = place else {
            return Ok(Given { calibration: None, seeded, vocabulary: None, occurrences: None });
        };
        let calibration = read(place, config)?;
        let (mut occurrences, mut own) = (None, None);
        if let Some(scaling) = &vocabulary.scaling {
            // What a run has learned to cut, it cuts.
            own = scaling.open.then(|| Vocabulary::of_samples(reaching(scaling, &calibration.examples)));
        } else {
            let counts = vocabulary.occurrences(&calibration.examples);
            if counts.iter().all(|&count| count == 0) {
                let remedy = "name texts like those that the model will read";
                return Err(fault(place.path.display(), "the network reads no word of these texts", remedy).into());
            }
            // Those of the training texts say which rows of the embedding are whole.
            occurrences = config.train.model.tiers.is_none().then_some(counts);
        }
        Ok(Given { calibration: Some(calibration), seeded: None, vocabulary: own, occurrences })
    }

    /// The run with what is given in place of its own.
    pub(super) fn source<'a>(&'a self, run: &'a Trained) -> Source<'a> {
        let source = run.source();
        Source {
            vocabulary: self.vocabulary.as_ref().unwrap_or(source.vocabulary),
            occurrences: self.occurrences.as_deref().unwrap_or(source.occurrences),
            calibration: self.calibration.as_ref().map_or(&[], |calibration| &calibration.examples),
            ..source
        }
    }

    /// Examples without labels that an image is to be judged on, because its run has no better ones.
    pub(super) fn judging(&self, run: &Trained) -> Option<&Unlabelled> {
        let has_data = !run.opened.config.data.as_os_str().is_empty();
        self.seeded.as_ref().or(self.calibration.as_ref().filter(|_| !has_data))
    }

    /// What the integers were calibrated on, and what that says of samples, in words.
    pub(super) fn words(&self, run: &Trained) -> Option<String> {
        let calibration = self.calibration.as_ref()?;
        let said = match (&self.occurrences, &self.vocabulary, &run.opened.probe) {
            (Some(counts), _, _) => {
                let read = counts.iter().filter(|&&count| count > 0).count();
                format!("{read} of {} rows of the embedding are read", counts.len())
            }
            (None, Some(Vocabulary { scaling: Some(scaling), .. }), Some(probe)) => {
                let probe = Probe { of: "these".to_owned(), scaling: scaling.clone(), ..probe.clone() };
                probe.assumed(&run.opened.config.train.model.chain.layers)
            }
            _ => "ranges of convolutions are those on these".to_owned(),
        };
        let count = counted(calibration.examples.len(), run.opened.config.train.example());
        Some(format!("{count} of {}: {said}", calibration.of))
    }

    /// What is taken for granted where nothing was calibrated on, in words.
    pub(super) fn assumed(&self, run: &Trained) -> Option<String> {
        if self.calibration.is_some() {
            return None;
        }
        let opened = &run.opened;
        if let Some(probe) = &opened.probe {
            return Some(probe.assumed(&opened.config.train.model.chain.layers));
        }
        let is_bare = opened.config.data.as_os_str().is_empty();
        is_bare.then(|| {
            "each row of the embedding is read equally often, and ranges of convolutions follow from the weights \
             (--calibrate DATA takes both from texts, whose labels are not needed)"
                .to_owned()
        })
    }
}

/// Reads the examples at a place.
fn read(place: &Place<'_>, config: &RunConfig) -> Result<Unlabelled> {
    let task = config.train.task;
    let (examples, how) = match &config.series {
        Some(series) => (recordings(place, config, series)?, ""),
        None if place.missing.is_some() => return Err(no_missing_texts().into()),
        None => texts(place, config)?,
    };
    let path = place.path.display();
    if examples.is_empty() {
        return Err(fault(path, "there is nothing to calibrate on", "name a file with examples").into());
    }
    let of = format!("{path}{how}");
    let examples = examples.into_iter().map(|example| without_label(example, task)).collect();
    Ok(Unlabelled { examples, of })
}

/// Series as a network that answers reads them; where their columns are others, with labels as those that it learns from.
fn recordings(place: &Place<'_>, config: &RunConfig, series: &SeriesConfig) -> Result<Vec<Example<Label>>> {
    let series = series.read_as(place.columns, place.missing);
    let channels = config.train.model.chain.embedding;
    let plain = || -> Result<Vec<Example<Label>>> {
        let set = series::load(place.path, Part::Train, &reading_to_answer(&series, channels))?;
        if set.channels.len() != channels {
            let has = counted(set.channels.len(), "channel");
            let problem = format!("the series have {has}, and the model reads {channels}");
            let remedy = "name the columns of labels with --label-column, or series of these channels";
            return Err(fault(place.path.display(), problem, remedy).into());
        }
        let example = |one: &series::Series| {
            let recording = Recording { frames: one.frames.clone(), first: 0 };
            Example::recorded(Label::Class(0), one.id.clone(), recording)
        };
        Ok(set.series.iter().map(example).collect())
    };
    plain().or_else(|error| {
        let labelled = load_for(place.path, Part::Train, (config.train.task, &series), &[], channels, None);
        labelled.map(|judging| judging.examples).map_err(|_| error)
    })
}

/// Names of files whose texts have labels beside them.
const TABLES: [&str; 5] = [".csv", ".tsv", ".json", ".jsonl", ".ndjson"];

/// Texts with labels, or a text on each line; and which of the two, in words, where it is the latter.
fn texts(place: &Place<'_>, config: &RunConfig) -> Result<(Vec<Example<Label>>, &'static str)> {
    let columns = place.columns.clone();
    let is_said = !columns.is_default();
    let reading = Reading::of(config.train.task.with_classes(0)).within(columns.over(config.columns.clone()));
    let labelled = Dataset::<Label>::load_for(place.path, Part::Train, &reading);
    let name = place.path.to_string_lossy().to_ascii_lowercase();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let is_table = TABLES.iter().any(|extension| stem.ends_with(extension));
    match labelled {
        Ok(data) => Ok((data.examples, "")),
        Err(error) if is_said || !place.path.is_file() => Err(error),
        Err(error) if is_table => Err(match error.downcast::<Fault>() {
            Ok(Fault { place, problem, remedy }) => {
                let remedy = format!("{remedy}; texts without labels stand in a .txt file, one on each line");
                fault(place, problem, remedy).into()
            }
            Err(error) => error,
        }),
        Err(_) => Ok((lines(place.path)?, ", one on each line")),
    }
}

/// A text on each line that is not blank.
fn lines(path: &Path) -> Result<Vec<Example<Label>>> {
    let text = read_text(path, memory_limit())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut examples = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.len() > MAX_LINE {
            let problem = format!("the line has more than {MAX_LINE} bytes");
            return Err(fault(format!("{}:{number}", path.display()), problem, "put one text on a line").into());
        }
        if !line.trim().is_empty() {
            examples.push(Example::new(Label::Class(0), into_composed(line.to_owned())));
        }
    }
    Ok(examples)
}

/// The example with a label that means nothing, in the form that the task has.
fn without_label(example: Example<Label>, task: Task) -> Example<Label> {
    let steps = match example.recording.as_deref() {
        Some(Recording { frames, .. }) => frames.steps(),
        None => example.text.split_whitespace().count(),
    };
    let label = match (task.each_step(), task.has_values()) {
        (true, _) => Label::Each(vec![0.0; steps]),
        (false, true) => Label::Value(0.0),
        (false, false) => Label::Class(0),
    };
    let recording =
        example.recording.map(|recording| Box::new(Recording { first: 0, frames: recording.frames.clone() }));
    Example { label, text: example.text, recording }
}

/// Texts of the vocabulary's own words, each as likely as any other.
fn seeded(vocabulary: &Vocabulary, task: Task) -> Unlabelled {
    let words = vocabulary.words();
    let mut random = generator([1, 0, 0, 0x7465_7874]);
    let mut text = || {
        let chosen = (0..SEEDED).filter_map(|_| words.get(random.random_range(0..words.len().max(1))));
        chosen.map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    let examples = (0..SEEDED).map(|_| without_label(Example::new(Label::Class(0), text()), task)).collect::<Vec<_>>();
    Unlabelled { examples, of: "seeded words of the vocabulary".to_owned() }
}

/// The examples with the answers of an image as their labels.
///
/// # Errors
/// An error when the image does not open.
pub(super) fn answered(unlabelled: &Unlabelled, image: &Made, task: Task) -> Result<Vec<Example<Label>>> {
    let evaluation = evaluate(&Model::new(&Image::open(&image.bytes)?), &unlabelled.examples)?;
    let outputs = evaluation.outputs.max(1);
    let of_one = |answer: &[f32]| if task.has_values() { answer[0] } else { class_of(answer) as f32 };
    let mut answers = evaluation.logits.chunks_exact(outputs).map(of_one);
    let labelled = unlabelled.examples.iter().map(|example| {
        let label = match &example.label {
            Label::Each(steps) => Label::Each(answers.by_ref().take(steps.len()).collect()),
            Label::Value(_) => Label::Value(answers.next().unwrap_or_default()),
            Label::Class(_) => Label::Class(answers.next().unwrap_or_default() as u32),
        };
        Example { label, ..example.clone() }
    });
    Ok(labelled.collect())
}
