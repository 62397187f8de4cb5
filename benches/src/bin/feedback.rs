//! What the recurrent layers of an int8 image feed back: how much of the eight bits their hidden states use.
//!
//! ```text
//! feedback IMAGE --data PATH [--limit N] [--json]
//! ```
//!
//! A hidden state goes into the next step's product in Q0.7 (`docs/numerics.md`). A power of two a layer, `h * 2^k` in Q0.7, would keep more of a small
//! state; the largest k that clips nothing follows from the largest |h|. The texts or series should be those that calibration would see: of series the training
//! part is read, of texts the validation part.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};
use clap::Parser;
use latch_engine::image::header::AnswerKind;
use latch_engine::layers::Layer;
use latch_engine::{Model, Precision, View};
use latch_trainer::dataset::{self, Part};
use latch_trainer::evaluate::{open_image, read_image, state_for};
use latch_trainer::report;
use latch_trainer::series::{self, SeriesReading, SeriesTask};
use serde::Serialize;

/// Values of |h| in Q0.15, and one more for -1.
const VALUES: usize = (1 << 15) + 1;

/// Magnitudes below this, in Q0.15, are zero in Q0.7.
const ZERO: usize = 128;

#[derive(Parser)]
#[command(about = "How much of Q0.7 the hidden states of an int8 image use")]
struct Arguments {
    /// File of the image
    image: PathBuf,
    /// Labelled texts or series, as `latch eval` takes them
    #[arg(long)]
    data: PathBuf,
    /// Texts or series that are read, from the first on
    #[arg(long, default_value_t = 1000)]
    limit: usize,
    /// Prints one line of JSON a layer
    #[arg(long)]
    json: bool,
}

/// What a layer feeds back. All values are shares of one.
#[derive(Serialize)]
struct Line {
    layer: usize,
    name: String,
    values: u64,
    largest: f64,
    /// 99.9 % of all |h| are at most this.
    largest_but_a_thousandth: f64,
    median: f64,
    /// Values other than 0 that are 0 in Q0.7.
    lost: f64,
    /// The largest k with which no value of these texts is clipped.
    exponent: u32,
}

/// How often each magnitude occurs, by layer.
struct Magnitudes(Vec<u64>);

impl Magnitudes {
    fn add(&mut self, state: &[u8]) {
        for pair in state.chunks_exact(2) {
            let h = i16::from_le_bytes([pair[0], pair[1]]);
            self.0[usize::from(h.unsigned_abs())] += 1;
        }
    }

    fn line(&self, layer: usize, name: String) -> Line {
        let values: u64 = self.0.iter().sum();
        // The smallest magnitude below or at which so many of the values are.
        let quantile = |share: f64| {
            let wanted = (share * values as f64).ceil() as u64;
            let mut below = 0;
            self.0.iter().position(|&count| {
                below += count;
                below >= wanted
            })
        };
        let largest = self.0.iter().rposition(|&count| count > 0).unwrap_or(0);
        let real = |magnitude: usize| magnitude as f64 / 32_768.0;
        Line {
            layer,
            name,
            values,
            largest: real(largest),
            largest_but_a_thousandth: real(quantile(0.999).unwrap_or(0)),
            median: real(quantile(0.5).unwrap_or(0)),
            lost: self.0[1..ZERO].iter().sum::<u64>() as f64 / values.max(1) as f64,
            exponent: if largest == 0 { 0 } else { (32_767 / largest as u32).max(1).ilog2() },
        }
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let arguments = Arguments::parse();
    let bytes = read_image(&arguments.image)?;
    let image = open_image(&bytes, &arguments.image)?;
    let model = Model::new(&image);
    if model.precision() != Precision::Int8 {
        bail!("{} is not int8: a float state is fed back as it is", arguments.image.display());
    }
    let description = image.description();
    let cells: Vec<(usize, &Layer)> =
        description.layers.iter().enumerate().filter(|(_, layer)| layer.is_cell()).collect();
    let mut magnitudes: Vec<Magnitudes> = cells.iter().map(|_| Magnitudes(vec![0; VALUES])).collect();
    let mut memory = state_for(&model);
    let mut session = model.session_in(&mut memory)?;
    let mut each = |view: &mut View<'_, '_, '_>| {
        for ((layer, cell), magnitudes) in cells.iter().zip(&mut magnitudes) {
            // The hidden state is the last of a layer's state, two bytes a unit.
            let state = view.layer_state(*layer);
            magnitudes.add(&state[state.len() - 2 * usize::from(cell.outputs(0))..]);
        }
    };
    let mut read = 0;
    if model.channels() > 0 {
        let task = match model.answer().kind {
            AnswerKind::Classes => SeriesTask::Classify,
            AnswerKind::Values => SeriesTask::Forecast,
        };
        let set = series::load(&arguments.data, Part::Train, &SeriesReading::of(task))?;
        for series in set.series.iter().take(arguments.limit) {
            session.push_samples_f32_each(&series.frames, &mut each)?;
            session.reset();
            read += 1;
        }
    } else {
        for example in dataset::open(&arguments.data, Part::Valid)?.take(arguments.limit) {
            let text = example?.text;
            session.push_bytes_each(text.as_bytes(), |view, _| each(view));
            session.finish_each(|view, _| each(view));
            session.reset();
            read += 1;
        }
    }
    let things = if model.channels() > 0 { "series" } else { "texts" };
    ensure!(read > 0, "{} has no {things}", arguments.data.display());
    let head = ["layer", "largest |h|", "99.9 %", "median", "lost in Q0.7", "exponent"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for ((layer, cell), magnitudes) in cells.iter().zip(&magnitudes) {
        let line = magnitudes.line(*layer, cell.to_string());
        if arguments.json {
            println!("{}", serde_json::to_string(&line)?);
        }
        rows.push(vec![
            format!("{} {}", line.layer, line.name),
            format!("{:.3}", line.largest),
            format!("{:.3}", line.largest_but_a_thousandth),
            format!("{:.3}", line.median),
            format!("{:.2} %", 100.0 * line.lost),
            line.exponent.to_string(),
        ]);
    }
    if !arguments.json {
        print!("{read} {things}\n{}", report::table(&rows));
    }
    Ok(())
}
