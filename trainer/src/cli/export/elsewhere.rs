//! `latch export --format safetensors`.

use anyhow::Result;
use serde::Serialize;

use super::Args;
use crate::cli::output::{answer, print_json};
use crate::counted::counted;
use crate::error::fault;
use crate::exchange::{Answers, Layout, to_bytes};
use crate::export::Trained;
use crate::files::write_atomically;

#[derive(Serialize)]
struct TensorsLine<'a> {
    path: &'a str,
    layout: &'static str,
    weights: usize,
    words: usize,
    bytes: usize,
}

/// Writes the network as it was trained, in f32, with its vocabulary.
pub(super) fn write(args: &Args, run: &Trained) -> Result<()> {
    let (best, vocabulary) = (&run.best, &run.opened.vocabulary);
    if run.opened.ngrams.is_some() {
        let problem = "the run has n-grams, which no other framework knows, and the network was fused with them";
        return Err(fault(args.run.display(), problem, "train a run without n-grams to exchange").into());
    }
    for (option, given) in [
        ("--precision", args.precision.is_some()),
        ("--fold-to", args.fold_to.is_some()),
        ("--data", args.data.is_some()),
        ("--calibrate", args.calibrate.is_some()),
        ("--warm-up", args.warm_up.is_some()),
    ] {
        if given {
            return Err(fault(option, "it is for images, and safetensors hold f32", "leave it out").into());
        }
    }
    if !best.network.initial().is_empty() {
        let problem = "its recurrent layers begin in initial states, for which the file has no place";
        return Err(fault(args.run.display(), problem, "export an image").into());
    }
    let layout = args.layout.unwrap_or(Layout::PyTorch);
    let config = &run.opened.config;
    let answers = Answers { task: config.train.task, classes: config.classes.clone() };
    let bytes = to_bytes(&best.network, vocabulary, &answers, layout)?;
    write_atomically(&args.out, |out| Ok(out.write_all(&bytes)?))?;
    let weights = best.network.weights();
    answer(
        args.json,
        format_args!(
            "wrote {} (safetensors in the layout {}, {weights} weights, {}, {} bytes)",
            args.out.display(),
            layout.name(),
            counted(vocabulary.words().len(), "word"),
            bytes.len()
        ),
    )?;
    if args.json {
        print_json(&TensorsLine {
            path: &args.out.display().to_string(),
            layout: layout.name(),
            weights,
            words: vocabulary.words().len(),
            bytes: bytes.len(),
        })?;
    }
    Ok(())
}
