//! `latch export`: from a run folder to one image, or to a file for another framework.

mod elsewhere;
mod layers;
mod line;
pub(super) mod words;

use std::path::PathBuf;

use anyhow::Result;
use latch_data::series::Missing;

use self::elsewhere::Format;
use self::line::Line;
use super::args::{keep_inputs, parse_bytes, parse_share};
use super::columns::ColumnArgs;
use super::kinds::MissingArg;
use super::output::{accuracy, answer, print_json, progress, say, warn};
use super::unknown::Unknown;
use crate::config::Storage;
use crate::config::warm_up::WarmUp;
use crate::counted::{counted, named};
use crate::error::fault;
use crate::exchange::Layout;
use crate::export::Trained;
use crate::export::judged::{Exported, Options, export};
use crate::files::write_atomically;
use crate::runs::folder::RunFolder;
use crate::unknown::UnknownByPart;

/// Write a run's best network as an image, or for another framework: ONNX, safetensors, weights of Keras, JSON of RTNeural.
///
/// Uses the quantization-aware weights, if the run has them for this precision.
///
/// For an image, prints accuracy and bytes of every precision on the validation part, and where the bytes of the image are.
/// Files for other frameworks hold the network in f32, as it was learned; docs/frameworks.md says what goes in and what comes out. Of weights, the lines of Python that build their
/// layers are printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  latch export --run runs/imdb --precision int8 --out imdb.latch\n  \
                  latch export --run runs/amp --calibrate guitar.wav --precision int8 --out amp.latch\n  \
                  latch export --run runs/imdb --fold-to 512KiB --out imdb-folded.latch\n  \
                  latch export --run runs/imdb --early-error 0.5% --out imdb-early.latch\n  \
                  latch export --run runs/imdb --format safetensors --layout pytorch --out net.safetensors\n  \
                  latch export --run runs/imdb --format onnx --out net.onnx\n  \
                  latch export --run runs/imdb --format keras-h5-weights --out net.weights.h5\n  \
                  latch export --run runs/amp --format rtneural --out amp.json")]
pub struct Args {
    /// Folder of a run
    #[arg(long)]
    run: PathBuf,
    /// What to write
    #[arg(long, value_enum, default_value = "image")]
    format: Format,
    /// Precision of the image [default: int8]
    #[arg(long, value_enum)]
    precision: Option<Storage>,
    /// Names and shapes of the tensors in the safetensors file [default: pytorch]
    #[arg(long, value_enum)]
    layout: Option<Layout>,
    /// File of the image, or for the other framework; of Keras's weights its name ends with .weights.h5 (Keras 3) or .h5 (Keras 2 and 3)
    #[arg(long)]
    out: PathBuf,
    /// Make the image larger and faster: precompute the first layer's input products for as many of the most frequent ids as fit. The size
    /// limits the whole image: 262144, 256KiB or 1MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    fold_to: Option<usize>,
    /// Keep the probabilities as learned, instead of fitting them to the validation part (temperature scaling)
    #[arg(long)]
    no_calibrate: bool,
    /// Early exit: let a stream stop once its answer is certain. The thresholds are chosen so that at most this share of other texts turns from right to wrong, such as 0.5%
    /// or 0.005, with a confidence of 95 %
    #[arg(long, value_name = "SHARE", value_parser = parse_share)]
    early_error: Option<f64>,
    /// Let every stream of the image begin as if it had read something before: a number N means N frames with each channel at its mean (of series), words mean this text (of texts),
    /// and none means nothing, although the run was trained with a warm-up [default: as the run says]
    #[arg(long, value_name = "FRAMES|TEXT|none")]
    warm_up: Option<WarmUp>,
    /// Labelled texts or series to report on, in place of the run's validation part
    #[arg(long)]
    data: Option<PathBuf>,
    /// Calibrate integers on these texts or series in place of the run's training part; labels are not needed (docs/frameworks.md)
    #[arg(long, value_name = "DATA")]
    calibrate: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// What becomes of a missing value of a series [default: as the run does]
    #[arg(long, value_enum)]
    missing: Option<MissingArg>,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A fault when the run, its data or the output cannot be used.
pub fn run(args: Args) -> Result<()> {
    let folder = RunFolder::new(&args.run);
    for data in [&args.data, &args.calibrate].into_iter().flatten() {
        keep_inputs(&args.out, &[data])?;
    }
    if args.missing.is_some() && args.data.is_none() && args.calibrate.is_none() {
        return Err(fault("--missing", "it is for series that are named", "add --data or --calibrate").into());
    }
    let run = Trained::read(&folder)?;
    if args.format != Format::Image {
        return elsewhere::write(&args, &run);
    }
    if args.layout.is_some() {
        let remedy = "add --format safetensors, or leave it out";
        return Err(fault("--layout", "an image has no layout to choose", remedy).into());
    }
    let options = Options {
        storage: args.precision.unwrap_or(Storage::Int8),
        fold_to: args.fold_to,
        calibrate: !args.no_calibrate,
        early_error: args.early_error,
        data: args.data.clone(),
        calibrate_on: args.calibrate.clone(),
        columns: args.columns.columns()?,
        missing: args.missing.map(Missing::from),
        warm_up: args.warm_up.clone(),
    };
    let warm_up = args.warm_up.as_ref().or(run.opened.config.train.warm_up.as_ref());
    if let Some(text) = warm_up.and_then(WarmUp::takes_long) {
        progress(format_args!("{text}"));
    }
    // A damaged report is refused before anything is written.
    let unknown = folder.facts()?.map(|facts| facts.unknown);
    let exported = export(&run, &options)?;
    write_atomically(&args.out, |out| Ok(out.write_all(&exported.chosen().made.bytes)?))?;
    if exported.findings.calibration.is_some() || exported.findings.early.is_some() {
        // The image is what was asked for; a run that cannot be written to is no reason to do without it.
        if let Err(error) = folder.hold().and_then(|writer| writer.write_calibration(&exported.findings)) {
            say(args.json, format_args!("calibration.json is not kept in the run: {error:#}"));
        }
    }
    report(&args, &exported, unknown.as_ref())
}

/// Prints what came of an export; `parts` are the unknown tokens of the run's data.
fn report(args: &Args, exported: &Exported, parts: Option<&UnknownByPart>) -> Result<()> {
    let json = args.json;
    for (storage, reason) in &exported.missing {
        say(json, format_args!("no {} in this table: {reason:#}", storage.name()));
    }
    if let Some(folds) = exported.folds {
        let folds = accuracy(exported.task, folds);
        let others = named(2, exported.thing);
        answer(json, format_args!("{folds} of the folds, each on {others} that it has not learned from"))?;
    }
    let table = words::precision_table(&exported.images, exported.step);
    let judged = counted(exported.texts, exported.thing);
    answer(json, format_args!("{judged} of {}{}, through the engine:\n\n{table}", exported.part, exported.filled))?;
    if let Some(calibrated) = &exported.calibrated {
        answer(json, format_args!("calibrated on {calibrated}"))?;
    }
    if let Some(assumed) = &exported.assumed {
        answer(json, format_args!("assumed: {assumed}"))?;
    }
    layers::say(json, exported, &args.run.display().to_string())?;
    let saturated = exported.saturation.as_ref().map(|(counts, texts)| words::saturated(counts, *texts));
    let clipped = words::clipped(&exported.clipped);
    let folding = words::folding(exported, args.fold_to);
    exported.cut.iter().for_each(|cut| warn(format_args!("{cut}")));
    for text in [words::findings(&exported.findings), saturated, clipped, folding].into_iter().flatten() {
        answer(json, format_args!("{text}"))?;
    }
    let chosen = exported.chosen();
    let unknown = Unknown::say(json, parts, args.data.as_ref().map(|_| &chosen.evaluation.unknown))?;
    let (storage, bytes) = (chosen.made.storage.name(), chosen.made.bytes.len());
    answer(json, format_args!("{}", exported.layout))?;
    answer(json, format_args!("wrote {} ({storage}, {bytes} bytes)", args.out.display()))?;
    if json {
        print_json(&Line::of(&args.out.display().to_string(), exported, unknown))?;
    }
    Ok(())
}
