//! `latch eval`: an image against labelled texts, through the engine.

mod plot;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use latch_engine::Model;
use serde::Serialize;

use self::plot::Plot;
use super::columns::ColumnArgs;
use super::export::words::early_words;
use super::output::{answer, print_json};
use super::unknown::warn_of;
use crate::counted::counted;
use crate::dataset::{self, Dataset, Label, Part};
use crate::early::{self, EarlyReport};
use crate::error::fault;
use crate::evaluate::{Errors, Evaluation, evaluate_stream, open_image, read_image, reading_of};
use crate::metrics::BINS;
use crate::report::table;
use crate::runs::folder::RunFolder;
use crate::shown::shown;
use crate::unknown::UnknownTokens;

/// Evaluate an image on labelled texts: accuracy, log loss, calibration, confusion and ROC AUC, or the errors of numbers; time per token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch eval --image imdb.latch --data imdb/test.tsv.gz\n  \
                  latch eval --image imdb.latch --data imdb/test.tsv.gz --plot reliability.svg\n  \
                  latch eval --image imdb-early.latch --data imdb/test.tsv.gz --early")]
pub struct Args {
    /// File of the image
    #[arg(long)]
    image: PathBuf,
    /// Labelled texts for the image's task, in the formats of `latch train`; from a folder with several parts, the test part
    #[arg(long)]
    data: PathBuf,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Run that the image was exported from: columns and renamed labels are read as in its data
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
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

#[derive(Serialize)]
struct Line<'a> {
    n: usize,
    accuracy: f64,
    #[serde(flatten)]
    judgement: Judgement<'a>,
    precision: &'static str,
    image_bytes: usize,
    state_bytes: usize,
    ns_per_token: f64,
    tokens: u64,
    unknown: &'a UnknownTokens,
    #[serde(skip_serializing_if = "Option::is_none")]
    early: Option<EarlyReport>,
}

/// What only classes or only values have.
#[derive(Serialize)]
#[serde(untagged)]
enum Judgement<'a> {
    Classes {
        log_loss: f64,
        brier: f64,
        calibration_error: f64,
        #[serde(skip_serializing_if = "Option::is_none")]
        auc: Option<f64>,
        /// The names of the classes, in the order of the confusion's rows and columns.
        classes: &'a [String],
        confusion: &'a [Vec<u64>],
    },
    Values(Errors),
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
    let columns = match (args.columns.asked(), &args.run) {
        (None, Some(run)) => RunFolder::new(run).config()?.columns,
        (asked, _) => asked.unwrap_or_default(),
    };
    let reading = reading_of(&image, columns);
    let (task, classes) = (reading.task, &reading.classes);
    if plot.is_some() && task.has_values() {
        return Err(fault("--plot", "values have no confidence to plot", "leave it out for this image").into());
    }
    let early = if args.early {
        if model.early().next().is_none() {
            let remedy = "export it with --early-error";
            return Err(fault(args.image.display(), "the image has no thresholds of an early answer", remedy).into());
        }
        let texts = Dataset::<Label>::load_for(&args.data, Part::Test, &reading)?;
        Some(early::report(&model, &texts.examples)?)
    } else {
        None
    };
    let result = evaluate_stream(&model, dataset::open_for::<Label>(&args.data, Part::Test, &reading)?)?;
    if let Some(plot) = plot {
        plot.write(&result)?;
    }
    let mut text = String::new();
    let thing = if task.each_step() { "labelled token" } else { "text" };
    let (n, precision) = (result.n, image.description().precision_name());
    writeln!(
        text,
        "{}, {} read, {precision} on backend {}",
        counted(n, thing),
        counted(result.tokens, "token"),
        model.backend().name()
    )?;
    judgement(&mut text, &result, classes)?;
    writeln!(text, "unknown       {}", result.unknown.words())?;
    writeln!(text, "time          {:.0} ns per token, tokenizer included", result.ns_per_token)?;
    writeln!(text, "image         {} bytes, {} bytes of RAM a stream", image.len(), model.state_bytes())?;
    if let Some(early) = &early {
        writeln!(text, "{}", early_words(early, "of these"))?;
    }
    if !result.confusion.is_empty() {
        write!(text, "\n{}", confusion(&result.confusion, classes))?;
    }
    answer(args.json, format_args!("{}", text.trim_end()))?;
    warn_of(&result.unknown);
    if args.json {
        let judgement = match result.errors {
            Some(errors) => Judgement::Values(errors),
            None => Judgement::Classes {
                log_loss: result.log_loss,
                brier: result.reliability.brier,
                calibration_error: result.reliability.calibration_error,
                auc: result.auc,
                classes,
                confusion: &result.confusion,
            },
        };
        print_json(&Line {
            n: result.n,
            accuracy: result.accuracy,
            judgement,
            precision,
            image_bytes: image.len(),
            state_bytes: model.state_bytes(),
            ns_per_token: result.ns_per_token,
            tokens: result.tokens,
            unknown: &result.unknown,
            early,
        })?;
    }
    Ok(())
}

/// The figures of classes or of values.
fn judgement(text: &mut String, result: &Evaluation, classes: &[String]) -> Result<()> {
    if let Some(Errors { rmse, mae }) = result.errors {
        writeln!(text, "RMSE          {rmse:.4}")?;
        writeln!(text, "MAE           {mae:.4}")?;
        match only_label(result) {
            Some(label) => writeln!(text, "R²            not defined: all labels are {label}")?,
            None => writeln!(text, "R²            {:.4}", result.accuracy)?,
        }
        return Ok(());
    }
    writeln!(text, "accuracy      {:.2} %", 100.0 * result.accuracy)?;
    writeln!(text, "log loss      {:.4} nats", result.log_loss)?;
    writeln!(text, "Brier score   {:.4}", result.reliability.brier)?;
    let error = 100.0 * result.reliability.calibration_error;
    writeln!(
        text,
        "calibration   {error:.2} % expected error, {BINS} bins of equal width of the answer's probability"
    )?;
    if let Some(auc) = result.auc {
        writeln!(text, "ROC AUC       {auc:.4}")?;
    }
    if let Some(label) = only_label(result) {
        let auc = if result.outputs == 1 { " ROC AUC is not defined, and" } else { "" };
        let label = &classes[label as usize];
        writeln!(text, "one class     all labels are {label}:{auc} the accuracy is that of this class alone")?;
    }
    Ok(())
}

/// The label of all answers, where they have but one.
fn only_label(result: &Evaluation) -> Option<f32> {
    result.labels.first().copied().filter(|first| result.labels.iter().all(|label| label == first))
}

/// Labels against answers.
fn confusion(counts: &[Vec<u64>], classes: &[String]) -> String {
    let name = |class: usize| shown(&classes[class]).into_owned();
    let heading = std::iter::once("label \\ answer".to_owned()).chain((0..counts.len()).map(name)).collect();
    let row = |(class, row): (usize, &Vec<u64>)| {
        std::iter::once(name(class)).chain(row.iter().map(u64::to_string)).collect::<Vec<_>>()
    };
    table(&std::iter::once(heading).chain(counts.iter().enumerate().map(row)).collect::<Vec<_>>())
}
