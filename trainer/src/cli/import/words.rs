//! What came in, in words and as a line for machines.

use anyhow::Result;
use serde::Serialize;

use super::Args;
use crate::cli::output::{accuracy, answer, print_json, warn};
use crate::config::chain::Pooling;
use crate::exchange::Format;
use crate::exchange::parity::Difference;
use crate::report::table;
use crate::runs::folder::RunFolder;
use crate::runs::imported::{Arrived, Parity};
use crate::shown::shown;

#[derive(Serialize)]
struct Line<'a> {
    run: &'a str,
    format: &'static str,
    /// Whose names and shapes the tensors have, where the format has several.
    layout: Option<&'static str>,
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
    /// What was taken for granted of samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    assumed: Option<&'a str>,
    /// The f32 image against the file's description, a row a layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    parity: Option<&'a [Difference]>,
    /// The largest difference of the answers that the file brings from those of its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    own_answers_difference: Option<f64>,
}

/// Answers that a file brings differ from those of its network by no more than what rounding in f32 and printing lose.
const OWN: f64 = 1e-2;

/// Words that are named where more are meant.
const STRANGE: usize = 8;

/// The layout of a format that has several.
fn layout(format: Format) -> Option<&'static str> {
    match format {
        Format::Safetensors(layout) | Format::RtNeural(layout) => Some(layout.name()),
        _ => None,
    }
}

/// Prints what came in.
pub(super) fn report(args: &Args, folder: &RunFolder, imported: &Arrived) -> Result<()> {
    let judged = match imported.judged {
        Some((loss, right)) => format!("validation {}, loss {loss:.4}", accuracy(imported.answers.task, right)),
        None if imported.model.samples.is_some() => format!("from {}", imported.format.name()),
        None => "not judged, as no data was given".to_owned(),
    };
    let (model, run) = (&imported.model, folder.path().display().to_string());
    let (weights, layout) = (imported.weights, layout(imported.format));
    let within = layout.map_or_else(String::new, |layout| format!(" in the layout {layout}"));
    answer(args.json, format_args!("{model}, {weights} weights{within}; {judged}; run in {run}"))?;
    if let Some(parity) = &imported.parity {
        answer(args.json, format_args!("{}", parity_words(parity)))?;
    }
    warn_of(args, imported);
    if !args.json {
        return Ok(());
    }
    let chain = &model.chain;
    print_json(&Line {
        run: &run,
        format: imported.format.name(),
        layout,
        words: if model.samples.is_some() { 0 } else { model.vocab },
        embedding: chain.embedding,
        units: chain.cells().next().map_or(0, |cell| cell.units),
        layers: chain.cells().count(),
        readout: chain.pooling(),
        weights,
        task: imported.answers.task.name(),
        classes: &imported.answers.classes,
        unmade_words: &imported.strange,
        valid_accuracy: imported.judged.map(|(_, accuracy)| accuracy),
        assumed: imported.parity.as_ref().map(|parity| parity.assumed.as_str()).filter(|assumed| !assumed.is_empty()),
        parity: imported.parity.as_ref().map(|parity| parity.differences.as_slice()),
        own_answers_difference: imported.parity.as_ref().and_then(|parity| parity.own),
    })
}

/// The comparison of an image with what its file describes.
fn parity_words(parity: &Parity) -> String {
    let mut rows = vec![["layer", "values", "largest value", "largest difference"].map(str::to_owned).to_vec()];
    rows.extend(parity.differences.iter().map(|row| {
        let (most, difference) = (format!("{:.3e}", row.largest_value), format!("{:.1e}", row.largest_difference));
        vec![shown(&row.layer).into_owned(), row.values.to_string(), most, difference]
    }));
    let own = parity.own.map_or_else(String::new, |own| {
        format!("the answers that the file brings differ from these by {own:.1e} at most\n")
    });
    let assumed = if parity.assumed.is_empty() { String::new() } else { format!("assumed: {}", parity.assumed) };
    let said = format!(
        "the f32 image against the arithmetic of the file in f64, on {}:\n\n{}\n{own}{assumed}",
        parity.probe,
        table(&rows)
    );
    said.trim_end().to_owned()
}

/// Warns of what was not read, of words that are never used, and of a network that is of no use.
fn warn_of(args: &Args, imported: &Arrived) {
    let place = args.file.display();
    if let Some(row) = imported.parity.iter().flat_map(|parity| &parity.differences).find(|row| row.is_large()) {
        let (layer, difference, most) = (shown(&row.layer), row.largest_difference, row.largest_value);
        warn(format_args!(
            "{place}: the f32 image differs from the file in {layer}, by {difference:.1e} where values reach {most:.1e}; give \
             --full-scale the largest magnitude of the samples, or name another --probe"
        ));
    }
    if let Some(own) = imported.parity.as_ref().and_then(|parity| parity.own).filter(|own| *own > OWN) {
        warn(format_args!(
            "{place}: the answers that the file brings are not those of its network, by {own:.1e}; its weights may be others than those that gave them"
        ));
    }
    if !imported.unread.is_empty() {
        let keys: Vec<String> = imported.unread.iter().map(|key| format!("{key:?}")).collect();
        let keys = keys.join(", ");
        warn(format_args!("{place}: metadata {keys}: not read; Latch reads one object under the key \"latch\""));
    }
    if !imported.strange.is_empty() {
        let count = imported.strange.len();
        let shown: Vec<String> = imported.strange.iter().take(STRANGE).map(|word| format!("{word:?}")).collect();
        let more = if count > STRANGE { " and others" } else { "" };
        warn(format_args!(
            "{place}: {count} of {} words never come out of the tokenizer, so that their rows are never used: {}{more}",
            imported.model.vocab,
            shown.join(", ")
        ));
    }
    if let Some(cut) = &imported.cut_otherwise {
        warn(format_args!("{place}: texts are cut otherwise than where it was trained, as far as this shows: {cut}"));
    }
    imported.remarks.iter().for_each(|remark| warn(format_args!("{place}: {}", shown(remark))));
    if let Some(warning) = &imported.warning {
        warn(format_args!("{warning}"));
    }
}
