//! `latch export --format` for other frameworks: ONNX, safetensors, weights of Keras, JSON of RTNeural.

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use super::Args;
use crate::cli::output::{answer, print_json, say};
use crate::config::warm_up::WarmUp;
use crate::counted::counted;
use crate::error::fault;
use crate::exchange::described::described;
use crate::exchange::elsewhere::{self, File};
use crate::exchange::{Answers, Layout};
use crate::export::Trained;
use crate::files::write_atomically;
use crate::learning::sequences::Scale;

/// `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// What the engine runs
    Image,
    /// What PyTorch and Keras read
    Safetensors,
    /// What ONNX Runtime and many others run
    Onnx,
    /// What `load_weights` of Keras reads, with the lines that build its layers
    KerasH5Weights,
    /// JSON of RTNeural, for models of samples
    #[value(name = "rtneural")]
    Rtneural,
}

impl Format {
    /// Its name, for people.
    fn words(self) -> &'static str {
        match self {
            Format::Image => "an image",
            Format::Safetensors => "safetensors",
            Format::Onnx => "ONNX",
            Format::KerasH5Weights => "weights of Keras",
            Format::Rtneural => "RTNeural",
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    path: &'a str,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layout: Option<&'static str>,
    weights: usize,
    words: usize,
    bytes: usize,
    /// What goes in and what comes out, of a format that has names for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reads: Option<&'a str>,
    /// The program in Python that loads the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    python: Option<&'a str>,
    /// What the run's network does and the file does not.
    left_out: &'a [String],
}

/// Writes the network as it was trained, in f32.
pub(super) fn write(args: &Args, run: &Trained) -> Result<()> {
    refuse_options(args, run)?;
    let (best, vocabulary, config) = (&run.best, &run.opened.vocabulary, &run.opened.config);
    let answers = Answers { task: config.train.task, classes: config.classes.clone() };
    let unit = answers.task.has_values().then(|| Scale::of_run(config, &run.opened.training));
    let model = || described(&best.network, vocabulary, &answers, unit);
    let name = args.out.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let File { bytes, reads, python, mut left_out } = match args.format {
        Format::Image | Format::Safetensors => {
            let layout = args.layout.unwrap_or(Layout::PyTorch);
            elsewhere::safetensors(&best.network, vocabulary, &answers, (layout, unit), &name)?
        }
        Format::Onnx => elsewhere::onnx(&model()?)?,
        Format::KerasH5Weights => elsewhere::keras(&model()?, &args.out.display().to_string(), &name)?,
        Format::Rtneural => elsewhere::rtneural(&model()?)?,
    };
    if config.train.warm_up.as_ref().and_then(WarmUp::prefix).is_some() {
        left_out.push("the warm-up: streams begin with zeros".to_owned());
    }
    if let Some(steps) = best.network.config().chain.longest() {
        left_out.push(format!("that an image reads the last {steps} steps in both directions: there all are read"));
    }
    write_atomically(&args.out, |out| Ok(out.write_all(&bytes)?))?;
    let (weights, words) = (best.network.weights(), vocabulary.words().len());
    let layout = (args.format == Format::Safetensors).then(|| args.layout.unwrap_or(Layout::PyTorch).name());
    let within = layout.map_or_else(String::new, |layout| format!(" in the layout {layout}"));
    let of_words = if vocabulary.scaling.is_some() { String::new() } else { format!("{}, ", counted(words, "word")) };
    let (path, format) = (args.out.display().to_string(), args.format.words());
    answer(
        args.json,
        format_args!("wrote {path} ({format}{within}, {weights} weights, {of_words}{} bytes)", bytes.len()),
    )?;
    for line in reads.iter().chain(&python) {
        answer(args.json, format_args!("{}", line.trim_end()))?;
    }
    for line in &left_out {
        say(args.json, format_args!("not in the file: {line}"));
    }
    if args.json {
        print_json(&Line {
            path: &path,
            format,
            layout,
            weights,
            words,
            bytes: bytes.len(),
            reads: reads.as_deref(),
            python: python.as_deref(),
            left_out: &left_out,
        })?;
    }
    Ok(())
}

/// Refuses what is for images, and a run that has more than a network.
fn refuse_options(args: &Args, run: &Trained) -> Result<()> {
    if run.opened.ngrams.is_some() {
        let problem = "the run has n-grams, which no other framework knows, and the network was fused with them";
        return Err(fault(args.run.display(), problem, "train a run without n-grams to exchange").into());
    }
    for (option, given) in [
        ("--precision", args.precision.is_some()),
        ("--fold-to", args.fold_to.is_some()),
        ("--early-error", args.early_error.is_some()),
        ("--data", args.data.is_some()),
        ("--calibrate", args.calibrate.is_some()),
        ("--warm-up", args.warm_up.is_some()),
    ] {
        if given {
            let problem = format!("it is for images, and {} holds f32", args.format.words());
            return Err(fault(option, problem, "leave it out").into());
        }
    }
    if args.layout.is_some() && args.format != Format::Safetensors {
        let problem = format!("{} has no layout to choose", args.format.words());
        return Err(fault("--layout", problem, "add --format safetensors, or leave it out").into());
    }
    Ok(())
}
