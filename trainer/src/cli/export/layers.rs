//! What integers do to each layer, in words and as JSON.

use serde::Serialize;

use crate::cli::output::{answer, warn};
use crate::config::Storage;
use crate::export::judged::Exported;
use crate::export::layers::{LayerError, LayerErrors, SAMPLES};
use crate::report::table;

/// The table as JSON.
#[derive(Serialize)]
pub(super) struct Layers<'a> {
    /// Examples that were run.
    sequences: usize,
    /// What they are of.
    examples: &'a str,
    /// A row a layer.
    rows: &'a [LayerError],
}

impl<'a> Layers<'a> {
    pub(super) fn of(errors: &'a LayerErrors) -> Self {
        Layers { sequences: errors.sequences, examples: &errors.of, rows: &errors.rows }
    }
}

/// Prints the table, and a warning for each layer that loses much.
pub(super) fn say(json: bool, exported: &Exported, run: &str) -> anyhow::Result<()> {
    let Some(errors) = &exported.layers else { return Ok(()) };
    let made = &exported.images[exported.unfolded].made;
    let storage = made.storage;
    answer(json, format_args!("layers of {} against f32, on {errors}:\n\n{}", storage.name(), rows(&errors.rows)))?;
    // What reads values that are cut is noisy by that, and finer integers do not help it.
    let cuts = errors.rows.iter().any(LayerError::is_cut);
    let warned = errors.rows.iter().filter(|row| row.is_cut() || !cuts);
    for (row, warning) in warned.filter_map(|row| Some((row, row.warning()?))) {
        warn(format_args!(
            "layer {}: {warning}; {}",
            row.layer,
            if row.is_cut() {
                reaching(&row.layer).to_owned()
            } else {
                remedy(storage, Some(run).filter(|_| exported.learns_integers && !made.aware))
            }
        ));
    }
    Ok(())
}

/// What helps a layer whose values lie beyond the range of its integers: finer ones have the same range.
fn reaching(layer: &str) -> &'static str {
    if layer == SAMPLES {
        "calibrate on samples that reach as far with --calibrate, or import again with --full-scale, the largest magnitude of the samples"
    } else {
        "calibrate on data that reaches as far with --calibrate, or take --precision f16 or f32"
    }
}

/// What helps a layer that loses much in these integers; another run can go on from `run`, where there is one.
fn remedy(storage: Storage, run: Option<&str>) -> String {
    let finer = match storage {
        Storage::Int16 => return "take --precision f16 or f32".to_owned(),
        Storage::Int4 | Storage::Mixed => "take --precision int8 or int16",
        _ => "take --precision int16",
    };
    match run {
        Some(run) => format!("{finer}, or train on: latch train --resume-from {run} --quantize {}", storage.name()),
        None => finer.to_owned(),
    }
}

fn rows(errors: &[LayerError]) -> String {
    let heading = ["layer", "largest error", "RMS error", "SNR", "saturated"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for row in errors {
        let ratio = match row.snr_db {
            Some(ratio) => format!("{ratio:.1} dB"),
            None if row.rms_error == 0.0 => "exact".to_owned(),
            None => "-".to_owned(),
        };
        rows.push(vec![
            row.layer.clone(),
            number(row.largest_error),
            number(row.rms_error),
            ratio,
            format!("{:.3} %", 100.0 * row.saturated),
        ]);
    }
    table(&rows)
}

/// With three digits.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if (1e-4..1e4).contains(&value) { format!("{value:.5}") } else { format!("{value:.2e}") }
}
