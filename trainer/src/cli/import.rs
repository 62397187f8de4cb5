//! `latch import`: from a model of another tool to a run folder.

mod words;

use std::path::{Path, PathBuf};

use anyhow::Result;
use latch_engine::layers::bidirectional::MAX_LONGEST;

use super::args::{ValidArg, absolute, valid_of};
use super::columns::ColumnArgs;
use super::kinds::{TaskArg, TokenKind};
use super::output::{answer, print_json};
use crate::config::chain::Pooling;
use crate::error::fault;
use crate::runs::folder::RunFolder;
use crate::runs::imported::{Request, import, inspect};

/// Make a run folder from a model that another tool trained.
///
/// The file is known by what stands in it: safetensors in either layout that `latch export --format safetensors` writes, a model of Keras (.h5, .keras), ONNX, TensorFlow Lite, JSON of RTNeural, AIDA-X or
/// GuitarML, or an LSTM of Neural Amp Modeler (.nam). docs/frameworks.md has the names of the tensors and what is read of each.
///
/// A model reads texts or series. For one of texts, training data is optional: with it the int8 image is calibrated on frequent words, and its provenance names the data. One of series
/// needs none, and `latch export` judges its images by the probe. Of both the f32 image is compared with the file's own arithmetic, layer by layer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch import net.safetensors --data imdb/train.tsv.gz --valid imdb/valid.tsv.gz --out runs/torch\n  \
    latch import weights.safetensors --vocabulary vocabulary.txt --pooling last --out runs/torch\n  \
    latch import amp.nam --probe guitar.wav --out runs/amp\n  \
    latch import model.keras --tokenizer tokenizer.json --out runs/keras\n  \
    latch import model.onnx --inspect\n  \
    latch import model.tflite --out runs/tflite\n  \
    latch import sensor.safetensors --chain \"lstm > last > fc\" --task classify --out runs/torch\n  \
    latch import pedal.json --inspect")]
pub struct Args {
    /// File of the model
    file: PathBuf,
    /// Print what is inside the file and what would stop its import, and write nothing
    #[arg(long)]
    inspect: bool,
    /// File of its words, a line for each id from 0; needed if the file does not hold them. A line for padding is empty or <pad>, one for unknown words <unk> or [UNK]
    #[arg(long)]
    vocabulary: Option<PathBuf>,
    /// Pooling before the head; needed if the metadata does not name it
    #[arg(long, value_enum)]
    pooling: Option<Pooling>,
    /// What its outputs mean, if the file does not say it [default: classify of texts; of series values, or classes where there are three outputs or more]
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
    /// A series like those that a model of series will read (.wav, .npy or .csv): images are calibrated and judged on it [default: the file's own, else seeded tones]
    #[arg(long, value_name = "FILE")]
    probe: Option<PathBuf>,
    /// The largest magnitude of the samples, for integer images [default: that of the probe, at least 1]
    #[arg(long, value_name = "MAGNITUDE", value_parser = parse_magnitude)]
    full_scale: Option<f32>,
    /// Steps of the longest sequence, of a model that reads it in both directions: a device keeps so many [default: those of the probe, else 256]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_LONGEST)))]
    longest: Option<u16>,
    /// Order of the layers of a file that holds weights alone: of Keras "embedding > lstm 32 > last > dense 3", of PyTorch its modules, "emb > rnn > last > fc1 relu > fc2"
    #[arg(long, value_name = "LAYERS")]
    chain: Option<String>,
    /// Last layer that is read of a Keras model, or last value of an ONNX or TensorFlow Lite model, where what is above is of no kind that Latch knows
    #[arg(long, value_name = "NAME")]
    until: Option<String>,
    /// Words of a Keras Tokenizer, as JSON: tokenizer.to_json(), or its word_index
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Folder of the run: a new or an empty one
    #[arg(long, required_unless_present = "inspect")]
    out: Option<PathBuf>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// A positive number.
fn parse_magnitude(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(magnitude) if magnitude.is_normal() && magnitude > 0.0 && magnitude <= 1e30 => Ok(magnitude),
        _ => Err("must be a positive number".into()),
    }
}

/// Runs the verb.
///
/// # Errors
/// A fault when the file, the vocabulary, the data or the folder cannot be used. Then the folder is as it was before.
pub fn run(args: Args) -> Result<()> {
    let request = Request {
        file: &args.file,
        absolute_file: absolute(&args.file),
        vocabulary: args.vocabulary.as_deref(),
        pooling: args.pooling,
        task: args.task.map(TaskArg::task),
        tokens: args.tokens.map(TokenKind::tokens),
        data: args.data.as_deref().map(absolute),
        valid: valid_of(args.valid.as_ref(), args.data.as_deref().unwrap_or(Path::new(""))),
        columns: args.columns.columns()?,
        probe: args.probe.as_deref(),
        full_scale: args.full_scale,
        longest: args.longest.map(usize::from),
        chain: args.chain.as_deref(),
        until: args.until.as_deref(),
        tokenizer: args.tokenizer.as_deref(),
    };
    if args.inspect {
        let inspected = inspect(&request)?;
        answer(args.json, format_args!("{inspected}"))?;
        return if args.json { print_json(&inspected) } else { Ok(()) };
    }
    let Some(out) = &args.out else {
        return Err(fault("--out", "no folder is named", "name one, or look with --inspect").into());
    };
    let folder = RunFolder::new(out);
    words::report(&args, &folder, &import(&folder, &request)?)
}
