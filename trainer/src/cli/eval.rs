//! `latch eval`: an image against labelled texts, through the engine.

use std::path::PathBuf;

use anyhow::Result;
use latch_engine::model::Model;
use serde::Serialize;

use super::{answer, print_json};
use crate::dataset::{self, Part};
use crate::evaluate::{evaluate_stream, open_image, read_image};

/// Judge an image on labelled texts: accuracy, log loss, confusion, ROC AUC, time per token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch eval --image imdb.latch --data imdb/test.tsv.gz")]
pub struct Args {
    /// File of the image
    #[arg(long)]
    image: PathBuf,
    /// Labelled texts: an aclImdb folder (its test part), or .tsv, .csv, .jsonl, each also .gz
    #[arg(long)]
    data: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line {
    n: usize,
    accuracy: f64,
    log_loss: f64,
    auc: f64,
    precision: &'static str,
    image_bytes: usize,
    state_bytes: usize,
    ns_per_token: f64,
    tokens: u64,
    confusion: [[u64; 2]; 2],
}

/// Runs the verb.
///
/// # Errors
/// A fault when the image or the data cannot be used.
pub fn run(args: Args) -> Result<()> {
    let bytes = read_image(&args.image)?;
    let image = open_image(&bytes, &args.image)?;
    let model = Model::new(&image);
    let result = evaluate_stream(&model, dataset::open(&args.data, Part::Test)?)?;
    let [[true_negative, false_positive], [false_negative, true_positive]] = result.confusion;
    answer(
        args.json,
        format_args!(
            "{} texts, {} tokens, {} on backend {}\n\
             accuracy      {:.2} %\n\
             log loss      {:.4} nats\n\
             ROC AUC       {:.4}\n\
             time          {:.0} ns per token (text in, state moved on)\n\
             image         {} bytes, {} bytes of RAM a stream\n\n\
             {:>22}  {:>10}  {:>10}\n\
             {:>22}  {true_negative:>10}  {false_positive:>10}\n\
             {:>22}  {false_negative:>10}  {true_positive:>10}",
            result.n,
            result.tokens,
            image.manifest().precision_name(),
            model.backend().name(),
            100.0 * result.accuracy,
            result.log_loss,
            result.auc,
            result.ns_per_token,
            image.len(),
            model.state_bytes(),
            "label \\ verdict",
            "negative",
            "positive",
            "negative",
            "positive",
        ),
    )?;
    if args.json {
        print_json(&Line {
            n: result.n,
            accuracy: result.accuracy,
            log_loss: result.log_loss,
            auc: result.auc,
            precision: image.manifest().precision_name(),
            image_bytes: image.len(),
            state_bytes: model.state_bytes(),
            ns_per_token: result.ns_per_token,
            tokens: result.tokens,
            confusion: result.confusion,
        })?;
    }
    Ok(())
}
