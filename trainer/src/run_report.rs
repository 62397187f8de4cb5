//! The report of a run: what it is, how it learned, what its image answers on labelled texts and what that costs, as one page with pictures.
//!
//! Two reports of one run are the same, byte for byte: nothing in them is measured on this machine, and no date is written down.

mod answers;
mod folded;
pub mod page;
mod recorded;
mod tried;

use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use latch_data::series::Missing;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::{Model, Session, View};
use latch_parts::parts::PARTS;

use self::answers::{Shown, worst};
use self::folded::{folds_section, held_out};
use self::tried::trials_section;
use crate::composed::composed;
use crate::config::{RunConfig, Storage, Valid};
use crate::counted::{counted, named};
use crate::dataset::{Columns, Dataset, Example, Label, Part, Task};
use crate::error::fault;
use crate::evaluate::{
    Evaluation, PRECISION, classes_of, evaluate, open_image, read_image, reading_of, state_for, task_of,
};
use crate::export::{Export, Trained};
use crate::metrics::scores::{self, ClassScore, Scores};
use crate::metrics::{class_of, probabilities};
use crate::report::bytes::{self, Share};
use crate::report::classes::{HEADING, cells, never_answered, rare_recall};
use crate::report::curves::{self, Curves};
use crate::report::diagram::{self, Diagram};
use crate::report::image::{hex, layers};
use crate::report::latency::{self, Estimate};
use crate::report::svg::Picture;
use crate::report::trail::{self, Step};
use crate::report::{confusion, reliability, scatter};
use crate::runs::checkpoint::best_of;
use crate::runs::folder::RunFolder;
use crate::runs::recordings::{load_for, no_missing_texts};
use crate::search::latency::estimate;

/// What is asked of a report.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The image to report on, in place of the run's own.
    pub image: Option<PathBuf>,
    /// Labelled texts, in place of the run's validation part.
    pub data: Option<PathBuf>,
    /// Where labels and texts are in them; what is not said is as in the run's data.
    pub columns: Columns,
    /// What becomes of missing values of series, where it is not what the run does with its own.
    pub missing: Option<Missing>,
    /// The text whose trail is drawn, in place of one of the labelled texts.
    pub text: Option<String>,
}

/// A part of the page.
pub struct Section {
    /// Its name, and that of its picture's file.
    pub name: &'static str,
    /// Its heading.
    pub heading: String,
    /// What there is to say of it.
    pub note: String,
    /// Its picture.
    pub picture: Option<Picture>,
    /// Its texts, as the rows of a table with its heading.
    pub rows: Vec<Vec<String>>,
}

/// All that a report says.
pub struct Report {
    /// The run's name: its folder's.
    pub name: String,
    /// What the run is, each with its name.
    pub facts: Vec<(&'static str, String)>,
    /// The large figures at the beginning, each with its name.
    pub figures: Vec<(&'static str, String)>,
    /// The parts in their order.
    pub sections: Vec<Section>,
    /// Bytes of the image.
    pub image_bytes: usize,
    /// Accuracy, of values R², on the texts that were reported on; `None` where there are none.
    pub accuracy: Option<f64>,
}

/// Tokens of a trail that fit its picture.
const MOST_STEPS: usize = 40;

/// Worst answers that are listed.
const WORST: usize = 12;

/// Checks that an image can be one of a run: task, classes, seed and data are the run's; `option` names one of the two.
///
/// # Errors
/// A fault where it cannot.
pub fn refuse_other(option: &str, image: &Image<'_>, config: &RunConfig) -> Result<()> {
    let (found, wanted) = (task_of(&Model::new(image)), config.train.task);
    let is_task = |task: Task| (task.has_values(), task.each_step(), task.outputs());
    let is_of_the_classes = config.classes.is_empty() || classes_of(image) == config.classes;
    let origin = image.provenance();
    // An imported network has no data.
    let is_of_the_data = config.data_sha256.is_empty() || config.data_sha256 == hex(&origin.data_sha256);
    let problem = if is_task(found) != is_task(wanted) || !is_of_the_classes {
        "the image answers another kind of question than the run"
    } else if origin.seed != config.train.seed || !is_of_the_data {
        "the image was made of another run: its seed or its data differ"
    } else {
        return Ok(());
    };
    Err(fault(option, problem, format!("name an image and the run that it was exported from, or leave {option} out"))
        .into())
}

/// Reports on the run in a folder.
///
/// # Errors
/// A fault when the folder holds no finished run, when its data or that of the options cannot be used, or when the image is not one of such a run.
pub fn report(folder: &RunFolder, options: &Options) -> Result<Report> {
    let run = Trained::read(folder)?;
    let config = &run.opened.config;
    let task = config.train.task;
    let bytes = image_of(&run, options)?;
    let image = match &options.image {
        Some(path) => open_image(&bytes, path)?,
        None => Image::open(&bytes)?,
    };
    let model = Model::new(&image);
    refuse_other("--image", &image, config)?;
    if options.text.is_some() && config.series.is_some() {
        return Err(fault("--text", "this run reads series", "leave it out: one of them is drawn").into());
    }
    let data;
    let (texts, part): (&[Example<Label>], String) = match &options.data {
        Some(path) => {
            let filled;
            (data, filled) = labelled(path, options, config, &image)?;
            let things = if config.series.is_some() { "series" } else { "texts" };
            (&data, format!("the {things} of --data{filled}"))
        }
        None => (&run.opened.validation, "the run's validation part".to_owned()),
    };
    let part = &format!("{part}, through the engine");
    let evaluation = if texts.is_empty() { None } else { Some(evaluate(&model, texts)?) };
    let of_folds = if evaluation.is_none() { held_out(&run)? } else { None };
    let names = classes_of(&image);
    let answered = config.train.answered();
    let mut sections = vec![the_model(&image, &model, config, texts, &names)?];
    sections.extend(learning(folder, config)?);
    sections.extend(trials_section(folder, config)?);
    sections.extend(folds_section(folder, config)?);
    if let Some(evaluation) = &evaluation {
        sections.extend(answers(evaluation, answered, &names, part));
    } else if let Some(evaluation) = &of_folds {
        let part = if config.series.is_some() { "series" } else { "texts" };
        let part = format!("the {part} that each fold has held out, in floats");
        sections.extend(answers(evaluation, answered, &names, &part));
    }
    let right = evaluation.as_ref().map(|evaluation| answers::right(evaluation, texts)).unwrap_or_default();
    if config.series.is_some() {
        let shown = recorded::chosen(texts, &right).or(run.opened.training.first());
        let section = shown.map(|example| recorded::section(&model, example, config, &names)).transpose()?;
        sections.extend(section.flatten());
    } else {
        // Without texts to judge by, one that was learned from.
        let chosen = || chosen(texts, &right).or_else(|| chosen(&run.opened.training, &[]));
        if let Some(text) = options.text.clone().or_else(chosen) {
            sections.push(trail_of(&model, &text, task, &names)?);
        }
    }
    sections.push(layout(&image));
    sections.push(speed(config));
    if let Some(evaluation) = &evaluation {
        let shown = Shown { evaluation, task, names: &names, thing: config.train.example() };
        sections.push(Section {
            name: "worst",
            heading: "Worst answers".into(),
            note: format!("The largest losses on {part}. Wrong labels and hard cases show here."),
            picture: None,
            rows: worst(&shown, texts, WORST),
        });
    }
    let precision = image.description().precision_name();
    let mut figures = Vec::new();
    let accuracy = evaluation.as_ref().or(of_folds.as_ref()).map(|evaluation| evaluation.accuracy);
    if let Some(accuracy) = accuracy {
        let (name, text) = if task.has_values() {
            ("R²", format!("{accuracy:.4}"))
        } else {
            ("accuracy", format!("{:.2} %", 100.0 * accuracy))
        };
        figures.push((if of_folds.is_some() { "accuracy of the folds" } else { name }, text));
    }
    figures.push(("bytes of the image", image.len().to_string()));
    figures.push(("bytes of RAM a stream", model.state_bytes().to_string()));
    figures.push(("precision", precision.to_owned()));
    Ok(Report { name: name_of(folder), facts: facts(&run), figures, sections, image_bytes: image.len(), accuracy })
}

/// The labelled texts or series at a path, read as the run's data is where the options say nothing else; and what was filled of them, in words behind a
/// comma.
fn labelled(
    path: &Path,
    options: &Options,
    config: &RunConfig,
    image: &Image<'_>,
) -> Result<(Vec<Example<Label>>, String)> {
    let Some(series) = &config.series else {
        if options.missing.is_some() {
            return Err(no_missing_texts().into());
        }
        let columns = options.columns.clone().over(config.columns.clone());
        return Ok((Dataset::load_for(path, Part::Test, &reading_of(image, columns))?.examples, String::new()));
    };
    let channels = config.train.model.chain.embedding;
    let series = series.read_as(&options.columns, options.missing);
    let task = config.train.task;
    let judging = load_for(path, Part::Test, (task, &series), &config.classes, channels, Some(&config.data))?;
    Ok((judging.examples, judging.filled.map(|filled| format!(", {filled}")).unwrap_or_default()))
}

/// The name of a run: its folder's, with the one that this lies in where the path names it.
fn name_of(folder: &RunFolder) -> String {
    let names = |path: &Path| -> Vec<String> {
        let normal = path.components().filter(|part| matches!(part, Component::Normal(_)));
        normal.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let mut given = names(folder.path());
    if given.is_empty() {
        // The folder itself, as `.`.
        let whole = std::path::absolute(folder.path()).map(|path| names(&path)).unwrap_or_default();
        given.extend(whole.last().cloned());
    }
    given[given.len().saturating_sub(2)..].join("/")
}

/// The image that is asked for; else the run's own: of the integers that it learned with, or int8, or where it has no such image f32.
fn image_of(run: &Trained, options: &Options) -> Result<AlignedBytes> {
    if let Some(path) = &options.image {
        return read_image(path);
    }
    let export = Export::of(run.source(), true)?;
    let storage = export.learned_integers().unwrap_or(Storage::Int8);
    let made = export.image(storage).or_else(|_| export.image(Storage::F32))?;
    Ok(made.bytes)
}

/// What the run is.
fn facts(run: &Trained) -> Vec<(&'static str, String)> {
    let config = &run.opened.config;
    let train = &config.train;
    let file = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
    let mut facts = vec![("model", train.model.to_string())];
    if let Some(data) = file(&config.data) {
        let counts = (run.opened.training.len(), run.opened.validation.len());
        let training = counted(counts.0, train.example());
        facts.push(("data", format!("{data}: {training} to learn from, {} to validate on", counts.1)));
    }
    if let Some(imported) = &config.imported {
        facts.push(("imported", format!("from {}", file(&imported.file).unwrap_or_default())));
    } else {
        let training = format!(
            "up to {} in batches of {}, learning rate {}, seed {}",
            counted(train.epochs, "epoch"),
            train.batch,
            train.learning_rate,
            train.seed
        );
        facts.push(("training", training));
        let best = &run.best.metrics;
        facts.push(match config.valid {
            Valid::All { folds } => {
                ("validation", format!("none: {} on all data, after {folds} folds", counted(best.epoch, "epoch")))
            }
            _ => {
                let (epoch, name, loss) = (best.epoch, train.loss_name(), best.valid_loss);
                ("best epoch", format!("{epoch}, with a {name} of {loss:.4} on the validation part"))
            }
        });
    }
    if let Some(quantized) = &run.quantized {
        let best = &quantized.best.metrics;
        let text = format!(
            "{}: epoch {}, validation {} {:.4}",
            quantized.storage.name(),
            best.epoch,
            train.loss_name(),
            best.valid_loss
        );
        facts.push(("trained with integers", text));
    }
    facts
}

/// The chain as a picture.
fn the_model(
    image: &Image<'_>,
    model: &Model<'_>,
    config: &RunConfig,
    texts: &[Example<Label>],
    names: &[String],
) -> Result<Section> {
    let shown = texts.iter().map(|example| example.text.as_str()).min_by_key(|text| text.len().abs_diff(40));
    let ((begin, step), text, tokens) = if config.series.is_some() {
        (("a series", "frame"), "a recording", (1..=3).map(|frame| format!("frame {frame}")).collect::<Vec<_>>())
    } else {
        let seen = after_each_token(model, shown.unwrap_or_default())?;
        (("a text", "token"), shown.unwrap_or("a text"), seen.into_iter().map(|(token, _)| token).collect())
    };
    let below = |bytes: usize| format!("{bytes} bytes");
    let description = image.description();
    let named: Vec<(String, String)> = layers(image)
        .into_iter()
        .map(|layer| {
            let name = layer.layer.split_once(' ').filter(|(place, _)| place.parse::<usize>().is_ok());
            (name.map_or(layer.layer.clone(), |(_, name)| name.to_owned()), below(layer.bytes))
        })
        .collect();
    let answer = match config.train.task {
        task if task.has_values() => "a value".to_owned(),
        _ if names.len() <= 3 => names.join(" | "),
        _ => format!("one of {} classes", names.len()),
    };
    let flow = [
        ("train".to_owned(), trained(config, image.provenance().epochs)),
        ("quantize".to_owned(), description.precision_name().to_owned()),
        ("image".to_owned(), below(image.len())),
        ("chip".to_owned(), format!("{} bytes of RAM a stream", model.state_bytes())),
    ];
    let diagram = Diagram { begin, text, step, tokens: &tokens, layers: &named, answer: &answer, flow: &flow };
    Ok(Section {
        name: "model",
        heading: "The model".into(),
        note: format!("The layers of the image: {description}."),
        picture: Some(diagram::picture(&diagram)),
        rows: Vec::new(),
    })
}

/// How long a run has trained, in two or three words.
fn trained(config: &RunConfig, epochs: u32) -> String {
    match config.valid {
        _ if config.imported.is_some() => "imported".to_owned(),
        Valid::All { .. } => counted(epochs, "epoch"),
        _ => format!("best epoch {epochs}"),
    }
}

/// The curves; `None` where a network was imported.
fn learning(folder: &RunFolder, config: &RunConfig) -> Result<Option<Section>> {
    let Some(checkpoint) = folder.checkpoint()? else { return Ok(None) };
    let quantized = folder.quantized_checkpoint()?.map(|checkpoint| checkpoint.metrics).unwrap_or_default();
    let best = |epochs| best_of(config.train.select, epochs).map(|epoch| epoch.epoch);
    let best: Vec<u64> = [best(&checkpoint.metrics[..]), best(&quantized[..])].into_iter().flatten().collect();
    let storage = folder.quantized()?.map(|quantized| quantized.storage.name());
    let integers = storage.map(|storage| (quantized.len(), storage));
    let metrics = [checkpoint.metrics, quantized].concat();
    let picture =
        curves::picture(&Curves { metrics: &metrics, integers, values: config.train.task.has_values(), best: &best });
    Ok(Some(Section {
        name: "curves",
        heading: "How it learned".into(),
        note: "Training figures are those of the batches, with dropout; validation figures are those of the whole network at the end of each epoch."
            .into(),
        picture: Some(picture),
        rows: Vec::new(),
    }))
}

/// What the image answers: the confusion of classes and their calibration, or the errors of values.
fn answers(evaluation: &Evaluation, thing: &str, names: &[String], part: &str) -> Vec<Section> {
    if let Some(errors) = evaluation.errors {
        return vec![Section {
            name: "errors",
            heading: "Errors".into(),
            note: format!(
                "On {part}: {}, root mean square error {:.4}, mean absolute error {:.4}. Above, each predicted value \
                 against its label; below, how often which residual occurs.",
                counted(evaluation.n, "value"),
                errors.rmse,
                errors.mae
            ),
            picture: Some(scatter::picture(&evaluation.labels, &evaluation.logits)),
            rows: Vec::new(),
        }];
    }
    let auc = evaluation.auc.map_or(String::new(), |auc| format!(", ROC AUC {auc:.4}"));
    vec![
        Section {
            name: "confusion",
            heading: "Labels against answers".into(),
            note: format!(
                "On {part}: {}, accuracy {:.2} %, log loss {:.4}{auc}. Percentages are of the row.",
                counted(evaluation.n, thing),
                100.0 * evaluation.accuracy,
                evaluation.log_loss
            ),
            picture: Some(confusion::picture(&evaluation.confusion, names)),
            rows: if names.len() > MOST_SQUARES { mistakes(evaluation, names) } else { Vec::new() },
        },
        Section {
            name: "classes",
            heading: "Class by class".into(),
            note: classes_note(evaluation, names, &named(2, thing)),
            picture: None,
            rows: per_class(evaluation, names),
        },
        Section {
            name: "calibration",
            heading: "Calibration".into(),
            note: "Of all answers with a confidence of 80 %, 80 % should be right. Then the bars end on the diagonal."
                .into(),
            picture: Some(reliability::picture(&evaluation.reliability)),
            rows: Vec::new(),
        },
    ]
}

/// Classes beyond which the picture of the confusion has no names, so that its largest cells are listed.
const MOST_SQUARES: usize = 20;

/// The cells of the confusion that are listed.
const MISTAKES: usize = 20;

/// What is taken for what most often, as the rows of a table.
fn mistakes(evaluation: &Evaluation, names: &[String]) -> Vec<Vec<String>> {
    let confusion = &evaluation.confusion;
    let row = |(label, answer, count): (usize, usize, u64)| {
        let support: u64 = confusion[label].iter().sum();
        let share = format!("{:.1} %", 100.0 * count as f64 / support as f64);
        vec![names[label].clone(), names[answer].clone(), count.to_string(), share]
    };
    let heading = ["label", "answer", "count", "share of the label"].map(str::to_owned).to_vec();
    std::iter::once(heading).chain(scores::mistakes(confusion, MISTAKES).into_iter().map(row)).collect()
}

/// Precision, recall, F1 and support of each class, as the rows of a table.
fn per_class(evaluation: &Evaluation, names: &[String]) -> Vec<Vec<String>> {
    let row = |(name, score): (&String, &ClassScore)| std::iter::once(name.clone()).chain(cells(score)).collect();
    let rows = names.iter().zip(&evaluation.scores.classes).map(row);
    std::iter::once(HEADING.map(str::to_owned).to_vec()).chain(rows).collect()
}

/// What is to be said of all classes together.
fn classes_note(evaluation: &Evaluation, names: &[String], things: &str) -> String {
    let Scores { macro_f1, balanced_accuracy, .. } = &evaluation.scores;
    let mut note = format!("Macro F1 {:.2} %, balanced accuracy {:.2} %.", 100.0 * macro_f1, 100.0 * balanced_accuracy);
    if let Some((class, recall)) = evaluation.rare_recall {
        note += &format!(" For {}.", rare_recall(&names[class], recall, PRECISION));
    }
    if let Some(warning) = never_answered(&evaluation.scores, names, things) {
        note += &format!(" Warning: {warning}.");
    }
    note
}

/// A text whose trail is worth a look: the first of a readable length that was answered right, else the first of such a length, else the first.
fn chosen(texts: &[Example<Label>], right: &[bool]) -> Option<String> {
    let readable = |example: &&Example<Label>| (5..=25).contains(&example.text.split_whitespace().count());
    let answered = texts.iter().zip(right).filter(|(_, right)| **right).map(|(example, _)| example);
    let chosen = answered.filter(readable).chain(texts.iter().filter(readable)).chain(texts).next();
    chosen.map(|example| example.text.clone())
}

/// The tokens of a text as the engine reads them, each with the logits after it.
fn after_each_token(model: &Model<'_>, text: &str) -> Result<Vec<(String, Vec<f32>)>> {
    let mut state = state_for(model);
    let mut session: Session<'_, '_, '_> = model.session_in(&mut state)?;
    let outputs = usize::from(model.outputs());
    let mut seen = Vec::new();
    let mut note = |session: &mut View<'_, '_, '_>, token: &[u8]| {
        let logits = (0..outputs).map(|output| session.logit(output).to_f32()).collect();
        seen.push((String::from_utf8_lossy(token).into_owned(), logits));
    };
    session.push_bytes_each(composed(text).as_bytes(), &mut note);
    session.finish_each(&mut note);
    Ok(seen)
}

/// How the answer to a text comes about.
fn trail_of(model: &Model<'_>, text: &str, task: Task, names: &[String]) -> Result<Section> {
    let seen = after_each_token(model, text)?;
    // Of two classes the second one, as everywhere; of several the one that is answered in the end.
    let last = match names.len() {
        2 => 1,
        _ => seen.last().map_or(0, |(_, logits)| class_of(logits)),
    };
    let name = |class: usize| names.get(class).map_or("", String::as_str);
    let steps: Vec<Step> = seen
        .iter()
        .take(MOST_STEPS)
        .map(|(token, logits)| {
            if task.has_values() {
                return Step { token: token.clone(), value: f64::from(logits[0]) };
            }
            let class = if task.each_step() { class_of(logits) } else { last };
            let token = if task.each_step() { format!("{token}: {}", name(class)) } else { token.clone() };
            Step { token, value: probabilities(logits)[class] }
        })
        .collect();
    let axis = match (task.has_values(), task.each_step()) {
        (true, _) => "Value".to_owned(),
        (false, true) => "Probability of the answer to each token".to_owned(),
        (false, false) => format!("Probability of {}", name(last)),
    };
    let cut = if seen.len() > MOST_STEPS {
        format!(" The first {MOST_STEPS} of {} tokens are drawn.", seen.len())
    } else {
        String::new()
    };
    Ok(Section {
        name: "trail",
        heading: "One text, token by token".into(),
        note: format!("“{text}” The point above a token is the answer after it.{cut}"),
        picture: Some(trail::picture(&steps, &axis, !task.has_values())),
        rows: Vec::new(),
    })
}

/// Where the bytes lie.
fn layout(image: &Image<'_>) -> Section {
    let mut shares: Vec<Share> =
        layers(image).into_iter().map(|layer| Share { name: layer.layer, bytes: layer.bytes }).collect();
    let rest = image.len() - shares.iter().map(|share| share.bytes).sum::<usize>();
    shares.push(Share { name: "header, padding, checksum".into(), bytes: rest });
    Section {
        name: "bytes",
        heading: "Bytes by layer".into(),
        note: format!("The image has {} bytes; latch inspect lists each section.", image.len()),
        picture: Some(bytes::picture(&shares)),
        rows: Vec::new(),
    }
}

/// How long a token takes on the chips that are known.
fn speed(config: &RunConfig) -> Section {
    let mut estimates: Vec<Estimate> = PARTS
        .iter()
        .filter_map(|part| {
            let time = estimate(part, &config.train.model)?;
            let part = format!(
                "{}, {} MHz",
                part.title.split([',', '(']).next().unwrap_or(part.title).trim(),
                part.clock_hz / 1_000_000
            );
            Some(Estimate { part, low: time.low, likely: time.likely, high: time.high })
        })
        .collect();
    estimates.sort_by(|a, b| a.likely.total_cmp(&b.likely));
    Section {
        name: "latency",
        heading: format!("Time of a {} by chip", config.train.step()),
        note: "Estimates from the model's shape, for integer weights; nothing here was measured on a chip. Float weights take at least twice as long."
            .into(),
        picture: Some(latency::picture(&estimates, config.train.step())),
        rows: Vec::new(),
    }
}
