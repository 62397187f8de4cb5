//! `latch eval`: an image against labelled texts, through the engine.

mod plot;
mod words;

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use latch_engine::Model;
use serde::Serialize;

use self::plot::Plot;
use self::words::judgement;
use super::columns::ColumnArgs;
use super::export::words::early_words;
use super::output::{PerClass, answer, print_json, warn};
use super::unknown::warn_of;
use crate::counted::counted;
use crate::dataset::{self, Dataset, Label, Part};
use crate::early::{self, EarlyReport};
use crate::error::fault;
use crate::evaluate::{Errors, evaluate_stream, open_image, read_image, reading_of, threshold_of};
use crate::report::classes::{confusion, never_answered, per_class};
use crate::runs::folder::RunFolder;
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
        macro_f1: f64,
        balanced_accuracy: f64,
        /// How each class fares, in the same order.
        per_class: Vec<PerClass<'a>>,
        /// Classes that are a label and never an answer.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        never_answered: Vec<&'a str>,
        /// The largest recall of the rarer class of two at a precision of 90 %.
        #[serde(skip_serializing_if = "Option::is_none")]
        recall_at_precision_90: Option<f64>,
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
    if let Some(threshold) = threshold_of(&image) {
        writeln!(text, "threshold     chosen; a probability of 0.5 was {threshold} of the network")?;
    }
    writeln!(text, "time          {:.0} ns per token, tokenizer included", result.ns_per_token)?;
    writeln!(text, "image         {} bytes, {} bytes of RAM a stream", image.len(), model.state_bytes())?;
    if let Some(early) = &early {
        writeln!(text, "{}", early_words(early, "of these"))?;
    }
    if !result.confusion.is_empty() {
        write!(text, "\n{}\n{}", per_class(&result.scores, classes), confusion(&result.confusion, classes))?;
    }
    answer(args.json, format_args!("{}", text.trim_end()))?;
    warn_of(&result.unknown);
    if let Some(warning) = never_answered(&result.scores, classes, &format!("{thing}s")) {
        warn(format_args!("{warning}"));
    }
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
                macro_f1: result.scores.macro_f1,
                balanced_accuracy: result.scores.balanced_accuracy,
                per_class: PerClass::of(&result.scores, classes),
                never_answered: result.scores.never_answered().into_iter().map(|class| &*classes[class]).collect(),
                recall_at_precision_90: result.rare_recall.map(|(_, recall)| recall),
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
