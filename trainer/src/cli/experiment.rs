//! `latch experiment`: what explains what a network can learn.

use std::path::PathBuf;

use anyhow::Result;
use clap::Subcommand;

use super::output::{print, print_json};
use super::waiting::Waiting;
use crate::error::fault;
use crate::experiments::gradients::{self, Plan};
use crate::experiments::page;
use crate::files::{create_folder, write_atomically};

/// Run an experiment that explains what a recurrent network can learn, and write its page.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  latch experiment gradients --out gradients")]
pub struct Args {
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Debug, Subcommand)]
enum Experiment {
    /// How far back a simple RNN, a GRU and an LSTM learn: the adding problem at several lags
    Gradients(Gradients),
}

#[derive(Debug, clap::Args)]
struct Gradients {
    /// Folder for gradients.md and gradients.svg
    #[arg(long)]
    out: PathBuf,
    /// Lengths of the sequences, in steps
    #[arg(long, value_delimiter = ',', default_values_t = Plan::default().lags)]
    lags: Vec<usize>,
    /// Networks of each layer and length, with the seeds from 1
    #[arg(long, default_value_t = Plan::default().seeds)]
    seeds: u64,
    /// Most steps of training of a network
    #[arg(long, default_value_t = Plan::default().steps)]
    steps: u64,
    /// Units of the layer
    #[arg(long, default_value_t = Plan::default().units)]
    units: usize,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// A fault for an option that makes no sense, and those of the experiment.
pub fn run(args: Args) -> Result<()> {
    let Experiment::Gradients(args) = args.experiment;
    let Gradients { out, mut lags, seeds, steps, units, json } = args;
    lags.sort_unstable();
    lags.dedup();
    for (option, fits, range) in [
        ("--lags", lags.iter().all(|lag| (2..=10_000).contains(lag)), "whole numbers from 2 to 10000"),
        ("--seeds", (1..=100).contains(&seeds), "a whole number from 1 to 100"),
        ("--units", (1..=256).contains(&units), "a whole number from 1 to 256"),
    ] {
        if !fits {
            return Err(fault(option, format!("must be {range}"), "correct it").into());
        }
    }
    create_folder(&out)?;
    let plan = Plan { lags, seeds, steps, units, ..Plan::default() };
    let waiting = Waiting::new("training");
    let outcomes = gradients::run(&plan, &mut |done, all| waiting.at(done as u64, all as u64))?;
    drop(waiting);
    let (page, picture) = (out.join("gradients.md"), out.join("gradients.svg"));
    let svg = page::picture(&plan, &outcomes).file();
    write_atomically(&picture, |file| Ok(file.write_all(svg.as_bytes())?))?;
    let text = page::text(&plan, &outcomes, "gradients.svg", &plan.command());
    write_atomically(&page, |file| Ok(file.write_all(text.as_bytes())?))?;
    if json {
        return print_json(&outcomes);
    }
    print(format_args!("{}\nwritten: {} and {}", plan.table(&outcomes), page.display(), picture.display()))
}
