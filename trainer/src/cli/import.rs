//! `latch import`: from a safetensors file of another framework to a run folder.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::args::{ValidArg, absolute, valid_of};
use super::columns::ColumnArgs;
use super::kinds::{TaskArg, TokenKind};
use super::output::{accuracy, answer, print_json, warn};
use crate::config::chain::Pooling;
use crate::runs::folder::RunFolder;
use crate::runs::imported::{Request, import};

/// Make a run folder from a network that PyTorch or Keras trained.
///
/// The file is safetensors, in either layout that `latch export --format safetensors` writes; docs/frameworks.md has the names of the tensors.
/// Training data is optional. With it the int8 image is calibrated on frequent words, and its provenance names the data.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch import net.safetensors --data imdb/train.tsv.gz --valid imdb/valid.tsv.gz --out runs/torch\n  \
    latch import weights.safetensors --vocabulary vocabulary.txt --pooling last --out runs/torch")]
pub struct Args {
    /// File of the network
    file: PathBuf,
    /// File of its words, one per line in byte order; needed if the metadata has no vocabulary
    #[arg(long)]
    vocabulary: Option<PathBuf>,
    /// Pooling before the head; needed if the metadata does not name it
    #[arg(long, value_enum)]
    pooling: Option<Pooling>,
    /// What its outputs mean, if the metadata does not say it [default: classify]
    #[arg(long, value_enum)]
    task: Option<TaskArg>,
    /// What a token is, if the metadata does not say it [default: words]
    #[arg(long, value_enum)]
    tokens: Option<TokenKind>,
    /// Labelled texts that it was trained on, as `latch train` takes them
    #[arg(long)]
    data: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Validation data: a path, or the fraction of --data to hold out [default: the folder's own, else 0.1]
    #[arg(long, requires = "data")]
    valid: Option<ValidArg>,
    /// Folder of the run
    #[arg(long)]
    out: PathBuf,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    run: &'a str,
    layout: &'static str,
    words: usize,
    embedding: usize,
    units: usize,
    layers: usize,
    readout: Option<Pooling>,
    weights: usize,
    task: &'static str,
    /// The names of the classes; empty where nobody has named them.
    classes: &'a [String],
    /// Words that no text gives.
    unmade_words: &'a [String],
    /// Null without data.
    valid_accuracy: Option<f64>,
}

/// Words that are named where more are meant.
const STRANGE: usize = 8;

/// Runs the verb.
///
/// # Errors
/// A fault when the file, the vocabulary, the data or the folder cannot be used. Then the folder is as it was before.
pub fn run(args: Args) -> Result<()> {
    let folder = RunFolder::new(&args.out);
    let imported = import(
        &folder,
        &Request {
            file: &args.file,
            absolute_file: absolute(&args.file),
            vocabulary: args.vocabulary.as_deref(),
            pooling: args.pooling,
            task: args.task.map(TaskArg::task),
            tokens: args.tokens.map(TokenKind::tokens),
            data: args.data.as_deref().map(absolute),
            valid: valid_of(args.valid.as_ref(), args.data.as_deref().unwrap_or(Path::new(""))),
            columns: args.columns.columns()?,
        },
    )?;
    let judged = match imported.judged {
        Some((loss, right)) => format!("validation {}, loss {loss:.4}", accuracy(imported.answers.task, right)),
        None => "not judged, as no data was given".to_owned(),
    };
    let (model, layout, run) = (&imported.model, imported.layout.name(), folder.path().display().to_string());
    let weights = imported.weights;
    answer(args.json, format_args!("{model}, {weights} weights in the layout {layout}; {judged}; run in {run}"))?;
    if !imported.unread.is_empty() {
        let keys: Vec<String> = imported.unread.iter().map(|key| format!("{key:?}")).collect();
        let (place, keys) = (args.file.display(), keys.join(", "));
        warn(format_args!("{place}: metadata {keys}: not read; Latch reads one object under the key \"latch\""));
    }
    if !imported.strange.is_empty() {
        let (count, place) = (imported.strange.len(), args.file.display());
        let shown: Vec<String> = imported.strange.iter().take(STRANGE).map(|word| format!("{word:?}")).collect();
        let more = if count > STRANGE { " and others" } else { "" };
        warn(format_args!(
            "{place}: {count} of {} words never come out of the tokenizer, so that their rows are never used: {}{more}",
            model.vocab,
            shown.join(", ")
        ));
    }
    if let Some(warning) = &imported.warning {
        warn(format_args!("{warning}"));
    }
    if args.json {
        let chain = &model.chain;
        print_json(&Line {
            run: &run,
            layout,
            words: model.vocab,
            embedding: chain.embedding,
            units: chain.cells().next().map_or(0, |cell| cell.units),
            layers: chain.cells().count(),
            readout: chain.pooling(),
            weights,
            task: imported.answers.task.name(),
            classes: &imported.answers.classes,
            unmade_words: &imported.strange,
            valid_accuracy: imported.judged.map(|(_, accuracy)| accuracy),
        })?;
    }
    Ok(())
}
