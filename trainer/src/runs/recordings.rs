//! The series of a run: read, divided, cut into windows, and handed on as examples with frames.

use std::path::Path;

use anyhow::Result;
use latch_data::counted::counted;
use latch_data::series::{self, Forecasting, Series, SeriesReading, SeriesSet, SeriesTask, Target};
use latch_engine::Model;

use serde::Serialize;

use super::loaded::Loaded;
use super::summary::{self, Facts};
use crate::config::{Fold, RunConfig, SeriesConfig, Valid};
use crate::dataset::{Example, Label, Part, Recording, Task};
use crate::error::{Fault, fault};

/// What is to be learned of series, as their reader names it.
fn task_of(task: Task, config: &SeriesConfig) -> SeriesTask {
    match task {
        _ if config.horizon.is_some() => SeriesTask::Forecast,
        Task::Classify(_) => SeriesTask::Classify,
        Task::Regress => SeriesTask::Regress,
        Task::Tag(_) => SeriesTask::Tag,
        Task::RegressEach => SeriesTask::RegressEach,
    }
}

/// How series are read for a task: with these classes and no others, where there are some.
pub fn reading(task: Task, config: &SeriesConfig, classes: &[String]) -> SeriesReading {
    let mut columns = config.columns.clone();
    if config.horizon.is_some() {
        // It names the channel that is forecast.
        columns.labels.clear();
    }
    SeriesReading::of(task_of(task, config)).filling(config.missing).within(columns).among(classes)
}

/// How series are read that a network of so many channels is to answer.
pub fn reading_to_answer(config: &SeriesConfig, channels: usize) -> SeriesReading {
    let mut columns = config.columns.clone();
    if config.horizon.is_some() {
        columns.labels.clear();
    }
    SeriesReading::to_answer(channels).filling(config.missing).within(columns)
}

/// Whether series lie at a path, and not texts.
pub fn are_series(path: &Path, part: Part) -> bool {
    series::looks_like_series(path, part)
}

/// The fault of `--missing` where texts are read.
pub fn no_missing_texts() -> Fault {
    fault("--missing", "texts have no missing values", "leave it out for this network")
}

/// Series that judge an image.
pub struct Judging {
    /// The series.
    pub examples: Vec<Example<Label>>,
    /// What a forecast is to be better than, where there is a season.
    pub naive: Option<Naive>,
    /// What was found where, in words.
    pub layout: String,
    /// How many missing values were filled and how, in words.
    pub filled: Option<String>,
    /// Whether the recordings go on those of the run's data, which are read first.
    pub goes_on: bool,
}

/// The forecast that repeats the last season.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Naive {
    /// Steps of a season, guessed from the autocorrelation.
    pub season: usize,
    /// The root of the mean square of its errors, in the unit of the data.
    pub rmse: f64,
}

/// What the seasonal naive forecast of a set is worth; `None` of other tasks, and where there is no season.
fn naive(set: &SeriesSet, config: &SeriesConfig) -> Result<Option<Naive>> {
    let Some(what) = forecasting(set, config)? else { return Ok(None) };
    let Some(season) = set.season(what.channels.first().copied().unwrap_or(0)) else { return Ok(None) };
    let answers = set.seasonal_naive(&what, season)?;
    let series = set.forecast(&what)?.series;
    let mut squares = Vec::new();
    for (series, answers) in series.iter().zip(answers) {
        let first = if series.target.each_step() { series.first } else { 0 };
        let values = match &series.target {
            Target::Values(values) | Target::EachValues(values) => values,
            _ => continue,
        };
        let errors = values.iter().zip(&answers).skip(first).map(|(value, answer)| f64::from(value - answer));
        squares.extend(errors.filter(|error| error.is_finite()).map(|error| error * error));
    }
    let count = squares.len();
    let rmse = (squares.iter().sum::<f64>() / count.max(1) as f64).sqrt();
    Ok((count > 0).then_some(Naive { season, rmse }))
}

/// What is to be forecast; `None` of other tasks.
fn forecasting(set: &SeriesSet, config: &SeriesConfig) -> Result<Option<Forecasting>> {
    let Some(horizon) = config.horizon else { return Ok(None) };
    let channels = config.columns.labels.iter().map(|name| set.channel(name)).collect::<Result<Vec<usize>>>()?;
    let what = Forecasting { channels, ..Forecasting::ahead(horizon) };
    Ok(Some(match config.window {
        Some((window, stride)) => what.windowed(window, stride),
        None => what,
    }))
}

/// Reads the series at a path that an image or a run is judged by, as examples; `channels` is how many the network reads, and `past` holds the
/// recordings that those of steps with labels go on, where it is the same data set: another file says nothing of what came before it.
///
/// # Errors
/// A fault when they cannot be read, or have other channels.
pub fn load_for(
    path: &Path,
    part: Part,
    (task, config): (Task, &SeriesConfig),
    classes: &[String],
    channels: usize,
    past: Option<&Path>,
) -> Result<Judging> {
    let mut set = series::load(path, part, &reading(task, config, classes))?;
    check_channels(path, &set, channels)?;
    let filled = set.filled.words(config.missing);
    let is_same = |past: &Path| path.canonicalize().ok().is_some_and(|path| past.canonicalize().ok() == Some(path));
    let past = past.filter(|past| (config.horizon.is_some() || task.each_step()) && is_same(past));
    if let Some(past) = past {
        // The past is known when the future is asked for.
        set = set.following(&series::load(past, Part::Train, &reading(task, config, classes))?, usize::MAX);
    }
    let naive = naive(&set, config)?;
    let goes_on = past.is_some() && set.series.iter().any(|series| series.first > 0);
    let layout = set.layout.clone();
    Ok(Judging { examples: examples(&prepared(set, config)?), naive, layout, filled, goes_on })
}

/// Reads the data of a run. Its digest, its classes and the number of its channels go into the configuration.
pub(super) fn load(config: &mut RunConfig, series_config: &SeriesConfig) -> Result<Loaded> {
    let task = config.train.task;
    // A network comes with its classes, where its file names them.
    let classes = if config.train.start.is_some() { config.classes.clone() } else { Vec::new() };
    let whole = series::load(&config.data, Part::Train, &reading(task, series_config, &classes))?;
    let said = config.train.model.chain.embedding;
    if said == 0 {
        config.train.model.chain.embedding = whole.channels.len();
    }
    check_channels(&config.data, &whole, config.train.model.chain.embedding)?;
    if let Some(series) = &mut config.series
        && whole.layout.starts_with("a row a time step")
        && !whole.layout.contains("no header")
    {
        // By their names, so that another table may have them in another order.
        series.columns.channels.clone_from(&whole.channels);
    }
    if let (Some(series), Some(what)) = (&mut config.series, forecasting(&whole, series_config)?) {
        series.forecast_channel = what.channels.first().copied().or(Some(0));
    }
    config.train.check("")?;
    config.classes.clone_from(&whole.classes);
    config.train.task = task.with_classes(whole.classes.len() as u32);
    config.data_sha256.clone_from(&whole.sha256);
    let seed = config.train.seed;
    let (training, validation, valid_sha256) = match &config.valid {
        Valid::Fraction(share) => {
            let [training, validation] = whole.split(seed, [1.0 - share, *share])?;
            (training, Some(validation), None)
        }
        Valid::Fold(Fold { number, of }) => {
            let [training, validation] = whole.fold(seed, *number as usize, *of as usize)?;
            (training, Some(validation), None)
        }
        Valid::All { .. } => (whole.clone(), None, None),
        Valid::Path(path) => {
            let validation = series::load(path, Part::Valid, &reading(task, series_config, &config.classes))?;
            check_channels(path, &validation, config.train.model.chain.embedding)?;
            if validation.sha256 == whole.sha256 {
                let problem = format!("{} holds the series that the network learns from", path.display());
                let remedy = "name other series, or leave it out: a part of the data is set apart then";
                return Err(fault("--valid", problem, remedy).into());
            }
            let digest = validation.sha256.clone();
            (whole.clone(), Some(validation), Some(digest))
        }
    };
    if let Some(series) = &mut config.series
        && let Some(channel) = series.forecast_channel
    {
        series.season = training.season(channel);
    }
    let recordings = training.series.len();
    let held_out = validation.as_ref().map_or(0, |validation| validation.series.len());
    let training = examples(&prepared(training, series_config)?);
    let validation = match validation {
        Some(validation) => examples(&prepared(validation, series_config)?),
        None => Vec::new(),
    };
    let mut notes = whole.notes.clone();
    if !whole.layout.is_empty() {
        notes.insert(0, format!("read with {}", whole.layout));
    }
    if let Some((window, stride)) = series_config.window {
        let (learned, judged) = (training.len(), validation.len());
        notes.push(format!(
            "windows of {} every {stride}: {learned} to learn from, {judged} to validate",
            counted(window as u64, "step")
        ));
    }
    notes.extend(too_short(config.train.model.chain.rhythm().first, &training, &validation));
    notes.extend(too_long(config.train.model.chain.longest(), &training, &validation));
    if !validation.is_empty() {
        notes.extend(summary::lacking((&config.classes, "series"), &training, &validation));
    }
    let summary = words_of(&whole) + &summary::parts(recordings, held_out, &config.valid);
    let facts =
        Facts { texts: whole.series.len(), training: training.len(), validation: validation.len(), ..Facts::default() };
    Ok(Loaded { training, validation, valid_sha256, summary, notes, facts })
}

/// A warning of series that end before the first answer of an image.
pub fn unanswered(model: &Model<'_>, lengths: impl Iterator<Item = usize>) -> Option<String> {
    let before = model.unanswered() as usize;
    let (mut all, mut short) = (0, 0);
    for steps in lengths {
        all += 1;
        short += usize::from(steps <= before);
    }
    (before > 0 && short > 0).then(|| {
        let first = before + 1;
        format!("{short} of {all} series have fewer steps than the {first} of the image's first answer: what is said of them says nothing")
    })
}

/// A remark on recordings that end before the first answer of a valid convolution: so many steps come before it.
fn too_short(before: usize, training: &[Example<Label>], validation: &[Example<Label>]) -> Option<String> {
    let is_short = |example: &&Example<Label>| {
        example.recording.as_ref().is_some_and(|recording| recording.frames.steps() <= before)
    };
    let all = training.len() + validation.len();
    let short = training.iter().chain(validation).filter(is_short).count();
    (before > 0 && short > 0).then(|| {
        format!(
            "{short} of {all} series have fewer steps than the {} of the model's first answer: it tells nothing of them",
            before + 1
        )
    })
}

/// A remark on recordings of which a bidirectional layer reads the last steps alone on a device: what is learned reads all of them.
fn too_long(longest: Option<usize>, training: &[Example<Label>], validation: &[Example<Label>]) -> Option<String> {
    let longest = longest?;
    let is_long = |example: &&Example<Label>| {
        example.recording.as_ref().is_some_and(|recording| recording.frames.steps() > longest)
    };
    let all = training.len() + validation.len();
    let long = training.iter().chain(validation).filter(is_long).count();
    (long > 0).then(|| {
        format!(
            "warning: {long} of {all} series have more than the {longest} steps that an image reads in both directions: learned are all steps, and an image \
             answers to the last ones; give the bidirectional layer steps=, or cut the series by --window"
        )
    })
}

/// What was read, in words.
fn words_of(set: &SeriesSet) -> String {
    let (shortest, longest) = set.lengths();
    let steps = if shortest == longest {
        counted(longest as u64, "step")
    } else {
        format!("{shortest} to {}", counted(longest as u64, "step"))
    };
    let classes = match set.classes.len() {
        0 => String::new(),
        classes => {
            let counts = set.class_counts();
            let each = set.classes.iter().zip(&counts).map(|(name, count)| format!("{name} {count}"));
            let shown: Vec<String> = each.take(12).collect();
            let more = if classes > shown.len() { ", …" } else { "" };
            let counts = if counts.iter().all(|&count| count == 0) {
                String::new()
            } else {
                format!(" ({}{more})", shown.join(", "))
            };
            format!(", {}{counts}", counted(classes as u64, "class"))
        }
    };
    let channels = counted(set.channels.len() as u64, "channel");
    format!("read {} series of {steps}, {channels}{classes}", set.series.len())
}

/// A set with its targets, cut into windows where these are asked for.
fn prepared(set: SeriesSet, config: &SeriesConfig) -> Result<SeriesSet> {
    if let Some(what) = forecasting(&set, config)? {
        let set = set.forecast(&what)?;
        if set.outputs.len() > 1 {
            let problem = format!("the series have {} channels, and a model forecasts one", set.channels.len());
            return Err(fault("--label-column", problem, "name the channel to forecast").into());
        }
        return Ok(set);
    }
    match config.window {
        Some((length, stride)) => set.windows(length, stride),
        None => Ok(set),
    }
}

fn check_channels(path: &Path, set: &SeriesSet, channels: usize) -> Result<(), Fault> {
    let found = set.channels.len();
    if found != channels {
        let problem = format!("the series have {}, and the model reads {channels}", counted(found as u64, "channel"));
        return Err(fault(path.display(), problem, "name as many with --channels, or take another model"));
    }
    if set.task != SeriesTask::Forecast && set.outputs.len() > 1 {
        let problem = format!("each label has {} numbers", set.outputs.len());
        return Err(fault(path.display(), problem, "name the one to learn with --label-column"));
    }
    Ok(())
}

/// The recordings or pieces of a set as examples. A label of each step stands for the steps that count.
fn examples(set: &SeriesSet) -> Vec<Example<Label>> {
    set.series
        .iter()
        .filter_map(|series| Some(Example::recorded(label(series)?, series.id.clone(), recording(series))))
        .collect()
}

fn recording(series: &Series) -> Recording {
    Recording { frames: series.frames.clone(), first: if series.target.each_step() { series.first } else { 0 } }
}

/// `None` of a recording without a target.
fn label(series: &Series) -> Option<Label> {
    Some(match &series.target {
        Target::None => return None,
        Target::Class(class) => Label::Class(*class),
        Target::Values(values) => Label::Value(*values.first()?),
        Target::Classes(classes) => Label::Each(classes.iter().skip(series.first).map(|&class| class as f32).collect()),
        Target::EachValues(values) => Label::Each(values.iter().skip(series.first).copied().collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use latch_data::series::Frames;

    #[test]
    fn recordings_without_a_full_window_are_counted_of_both_parts() {
        let of = |steps: usize| {
            let recording = Recording { frames: Frames::new(vec![0.0; 2 * steps], 2), first: 0 };
            Example::recorded(Label::Class(0), format!("{steps} steps"), recording)
        };
        let (training, validation) = ([of(4), of(5), of(9)], [of(1), of(5)]);
        let remark = too_short(4, &training, &validation).expect("two are short");
        assert!(
            remark.starts_with("2 of 5 series have fewer steps than the 5 of the model's first answer"),
            "{remark}"
        );
        assert_eq!(too_short(0, &training, &validation), None);
        assert_eq!(too_short(4, &training[1..], &[]), None);
        let remark = too_long(Some(5), &training, &validation).expect("one is long");
        assert!(remark.starts_with("warning: 1 of 5 series have more than the 5 steps"), "{remark}");
        assert_eq!(too_long(Some(9), &training, &validation), None);
        assert_eq!(too_long(None, &training, &validation), None);
    }
}
