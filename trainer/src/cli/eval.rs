//! `latch eval`: an image against labelled texts or series, through the engine.

mod line;
mod plot;
mod sound;
mod words;

use std::path::PathBuf;

use anyhow::{Error, Result};
use latch_data::series::Missing;
use latch_engine::Model;

use self::line::Line;
use self::plot::Plot;
use super::columns::ColumnArgs;
use super::kinds::MissingArg;
use super::output::{answer, print_json, warn};
use super::unknown::warn_of;
use super::waiting::Waiting;
use crate::config::SeriesConfig;
use crate::dataset::{self, Columns, Dataset, Label, Part, Reading, Task};
use crate::early::{self, EarlyReport};
use crate::error::{Fault, fault, find_fault};
use crate::evaluate::{Evaluation, evaluate, evaluate_stream, open_image, read_image, reading_of};
use crate::report::classes::never_answered;
use crate::runs::folder::RunFolder;
use crate::runs::recordings::{Judging, Naive, load_for, no_missing_texts, unanswered};

/// Evaluate an image on labelled texts or series: accuracy, log loss, calibration, confusion and ROC AUC, or the errors of numbers; time per token or step.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch eval --image imdb.latch --data imdb/test.tsv.gz\n  \
                  latch eval --image imdb.latch --data imdb/test.tsv.gz --plot reliability.svg\n  \
                  latch eval --image imdb-early.latch --data imdb/test.tsv.gz --early\n  \
                  latch eval --image pedal.latch --data guitar.wav --target played.wav")]
pub struct Args {
    /// File of the image
    #[arg(long)]
    image: PathBuf,
    /// Labelled texts or series for the image's task, in the formats of `latch train`; from a folder with several parts, the test part
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    /// What becomes of a missing value of a series [default: as the run does, else refuse]
    #[arg(long, value_enum)]
    missing: Option<MissingArg>,
    /// Run that the image was exported from: columns, renamed labels, encoding and missing values are as in its data, where no option says otherwise
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// What the image is to answer at each step of --data: the second of two sounds (.wav, .npy, .csv). Prints RMSE, the error-to-signal ratio and the signal-to-noise ratio
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "missing", "plot", "early", "label_column", "text_column", "label_pattern", "label_map", "encoding"])]
    target: Option<PathBuf>,
    /// Draw confidence against accuracy into this file: .svg or .png
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Also use early exit: stop each text as soon as its answer is certain, and report what that saves and costs
    #[arg(long)]
    early: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// An image's answers to labelled texts.
struct Judged {
    result: Evaluation,
    /// What stopping early saves, where that was asked for.
    early: Option<EarlyReport>,
    /// Where labels and texts were found; empty in the plain case.
    layout: String,
    /// The seasonal naive beside a forecast.
    naive: Option<Naive>,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the image or the data cannot be used.
pub fn run(args: Args) -> Result<()> {
    let plot = args.plot.as_deref().map(Plot::of).transpose()?;
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let model = Model::new(&image);
    if let Some(target) = &args.target {
        return sound::judge(&args, &image, target);
    }
    let columns = args.columns.columns()?;
    let is_told = args.run.is_some() || columns != Columns::default();
    let columns = match &args.run {
        Some(run) => columns.over(RunFolder::new(run).config()?.columns),
        None => columns,
    };
    let series = if model.channels() > 0 { Some(series_of(&args)?) } else { None };
    if args.missing.is_some() && series.is_none() {
        return Err(no_missing_texts().into());
    }
    let reading = reading_of(&image, columns);
    let (task, classes) = (reading.task, &reading.classes);
    if plot.is_some() && task.has_values() {
        return Err(fault("--plot", "values have no confidence to plot", "leave it out for this image").into());
    }
    if args.early && model.early().next().is_none() {
        let remedy = "export it with --early-error";
        return Err(fault(args.image.display(), "the image has no thresholds of an early answer", remedy).into());
    }
    let Judged { result, early, layout, naive } = judged(&model, &args, &reading, series.as_ref())
        .map_err(|error| if is_told { error } else { untold(error, &args, &reading) })?;
    if let Some(plot) = plot {
        plot.write(&result)?;
    }
    if !layout.is_empty() && (!is_told || series.is_some()) {
        let hint = " (if these are others, name them, or add --run FOLDER: it reads as the image's run did)";
        answer(args.json, format_args!("read with {layout}{}", if is_told { "" } else { hint }))?;
    }
    let text = words::evaluation(&result, early.as_ref(), &image, &reading)?;
    answer(args.json, format_args!("{}", text.trim_end()))?;
    warn_of(&result.unknown);
    if let Some(Naive { season, rmse }) = &naive {
        answer(args.json, format_args!("naive         RMSE {rmse:.4}: the value one season of {season} steps before"))?;
    }
    let things = match (task.each_step(), series.is_some()) {
        (true, false) => "labelled tokens",
        (true, true) => "labelled steps",
        (false, false) => "texts",
        (false, true) => "series",
    };
    if let Some(warning) = never_answered(&result.scores, classes, things) {
        warn(format_args!("{warning}"));
    }
    if args.json {
        print_json(&Line::of(&result, early, naive, (&image, classes)))?;
    }
    Ok(())
}

/// How the series of an image are read: as the run's, where one is named.
fn series_of(args: &Args) -> Result<SeriesConfig> {
    let run = args.run.as_ref().map(|run| RunFolder::new(run).config()).transpose()?;
    let config = run.and_then(|run| run.series).unwrap_or_default();
    Ok(config.read_as(&args.columns.columns()?, args.missing.map(Missing::from)))
}

/// Runs the texts through the engine while they are read; of series all at once.
fn judged(model: &Model<'_>, args: &Args, reading: &Reading, series: Option<&SeriesConfig>) -> Result<Judged> {
    let waiting = Waiting::new("evaluating");
    if let Some(series) = series {
        let channels = usize::from(model.channels());
        let past = args.run.as_ref().map(|run| RunFolder::new(run).config()).transpose()?.map(|run| run.data);
        let Judging { examples, naive, layout, filled, goes_on } =
            load_for(&args.data, Part::Test, (reading.task, series), &reading.classes, channels, past.as_deref())?;
        if let Some(filled) = filled {
            answer(args.json, format_args!("{filled}"))?;
        }
        let lengths = examples.iter().filter_map(|example| Some(example.recording.as_ref()?.frames.steps()));
        if let Some(warning) = unanswered(model, lengths) {
            warn(format_args!("{warning}"));
        }
        if goes_on {
            waiting.say(args.json, "the held-out steps go on the run's recordings, which are read first as their past");
        }
        return Ok(Judged { result: evaluate(model, &examples)?, early: None, layout, naive });
    }
    let early = if args.early {
        let texts = Dataset::<Label>::load_for(&args.data, Part::Test, reading)?;
        Some(early::report(model, &texts.examples)?)
    } else {
        None
    };
    let texts = dataset::open_for::<Label>(&args.data, Part::Test, reading)?;
    let layout = texts.layout();
    let result = evaluate_stream(model, texts, &mut |done, all| waiting.at(done, all))?;
    Ok(Judged { result, early, layout, naive: None })
}

/// The error of data of which nothing was said, neither by options nor by a run: a run may say how it is read.
fn untold(error: Error, args: &Args, reading: &Reading) -> Error {
    match find_fault(&error) {
        // A forecast has no labels, and an image does not say how many steps ahead it looks.
        Some(Fault { place, problem, remedy }) if args.data.exists() && reading.task == Task::RegressEach => {
            let run = "if the image forecasts, add --run FOLDER: its run says what and how far ahead";
            fault(place, problem, format!("{run}; else {remedy}")).into()
        }
        Some(Fault { place, problem, remedy }) if args.data.exists() => {
            fault(place, problem, format!("{remedy}; or add --run, if the image's run reads such data")).into()
        }
        _ => error,
    }
}
