//! `latch search`: the best model within a budget.

mod terminal;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use latch_engine::input::text::Tokens as Units;
use serde::Serialize;

use self::terminal::Terminal;
use super::args::{BudgetArgs, TRIALS, ValidArg, absolute, minutes, positive, valid_of};
use super::columns::ColumnArgs;
use super::output::{accuracy, answer, print_json, say};
use crate::config::{MAX_EPOCHS, RunConfig, TrainConfig, default_config};
use crate::dataset::Task;
use crate::report::table;
use crate::search::candidates::Budget;
use crate::search::{Outcome, Plan, Trial, begin, front, plan, resume};

/// Search for the best model within a budget of flash, RAM and time.
///
/// Sizes are known before training, so that every trial fits. Many candidates train for a few epochs, the best third longer, the best of these
/// to the end; each is judged by its exported image on the validation part. Ends with best.latch and the plot pareto.svg in --out.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    latch search --data imdb/train.tsv.gz --flash 64KiB --ram 4KiB --out runs/search\n  \
    latch search --data imdb/train.tsv.gz --flash 32KiB --latency 500us --board STM32F446 --trials 9 --out runs/fast\n  \
    latch search --resume --out runs/search")]
pub struct Args {
    /// Labelled texts, as `latch train` takes them
    #[arg(long, required_unless_present = "resume")]
    data: Option<PathBuf>,
    #[command(flatten)]
    columns: ColumnArgs,
    /// Validation part: a path, or the share of the data to set apart [default: the folder's own, else 0.1]
    #[arg(long)]
    valid: Option<ValidArg>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Candidates of the first round
    #[arg(long, default_value_t = TRIALS, value_parser = positive)]
    trials: usize,
    /// Minutes after which nothing more is begun; how far the search comes, and so its result, then depends on the machine
    #[arg(long, value_parser = minutes)]
    minutes: Option<f64>,
    /// Epochs of the trials of the last round
    #[arg(long, default_value_t = default_config().epochs, value_parser = clap::value_parser!(u64).range(1..=MAX_EPOCHS))]
    epochs: u64,
    /// Seed of everything random
    #[arg(long, default_value_t = default_config().seed)]
    seed: u64,
    /// Folder of the search; every trial is a run in it
    #[arg(long)]
    out: PathBuf,
    /// Go on with the search in --out; its options are used
    #[arg(long, conflicts_with_all = ["data", "label_column", "text_column", "label_map", "valid", "flash", "ram", "latency", "board", "trials", "minutes", "epochs", "seed"])]
    resume: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    image: String,
    run: String,
    trials: usize,
    out_of_time: bool,
    best: &'a Trial,
    front: Vec<&'a Trial>,
}

/// Runs the verb.
///
/// # Errors
/// Those of [`begin`] and [`resume`].
pub fn run(args: Args) -> Result<()> {
    if args.resume {
        return go_on(&args.out, args.json);
    }
    let Some(data) = args.data else { bail!("--data is missing although --resume is not given") };
    let Some(budget) = args.budget.budget() else {
        let remedy = "say how large the image may be, as in --flash 64KiB";
        return Err(crate::error::fault("--flash", "the search needs a budget", remedy).into());
    };
    let base = RunConfig {
        imported: None,
        latch: env!("CARGO_PKG_VERSION").into(),
        train: TrainConfig { epochs: args.epochs, seed: args.seed, ..default_config() },
        data: absolute(&data),
        data_sha256: String::new(),
        columns: args.columns.columns(),
        classes: Vec::new(),
        valid: valid_of(args.valid.as_ref(), &data),
    };
    search(base, None, (budget, args.trials, args.minutes), &args.out, args.json)
}

/// Begins a search in a folder and reports it.
///
/// # Errors
/// Those of [`begin`].
pub(super) fn search(
    base: RunConfig,
    units: Option<Units>,
    (budget, trials, minutes): (Budget, usize, Option<f64>),
    out: &Path,
    json: bool,
) -> Result<()> {
    let task = base.train.task;
    let plan = Plan { latch: env!("CARGO_PKG_VERSION").into(), budget, trials, minutes, base, valid_sha256: None };
    if minutes.is_some() {
        say(json, format_args!("--minutes: how far this search comes depends on the machine, and so does its result"));
    }
    report(begin(plan, units, out, &mut Terminal::new(json, task))?, json)
}

/// Goes on with the search in a folder and reports it.
///
/// # Errors
/// Those of [`resume`].
pub(super) fn go_on(out: &Path, json: bool) -> Result<()> {
    let mut terminal = Terminal::new(json, plan(out)?.base.train.task);
    report(resume(out, &mut terminal)?, json)
}

fn report(outcome: Outcome, json: bool) -> Result<()> {
    let Some(best) = outcome.images.first() else { bail!("the search has no image") };
    let folder = outcome.image.parent().unwrap_or(&outcome.image);
    let next = outcome.images.iter().skip(1).take(NEXT).collect::<Vec<_>>();
    if !next.is_empty() {
        answer(json, format_args!("next best:\n\n{}", images_table(&next, outcome.task)))?;
    }
    let (bytes, right, loss) = best.measured().unwrap_or_default();
    let run = folder.join(&best.run);
    answer(
        json,
        format_args!(
            "best of {} trials: validation {}, loss {loss:.4}, {bytes} bytes, {} bytes of state{}; {}\n\
             run in {}{}\nwrote {} ({bytes} bytes); the plot is {}",
            outcome.trials,
            accuracy(outcome.task, right),
            best.state_bytes,
            best.latency_us.map_or(String::new(), |time| format!(", at most {time:.0} us a token (estimate)")),
            describe(best),
            run.display(),
            if outcome.out_of_time { "; the minutes were over before the rounds were" } else { "" },
            outcome.image.display(),
            folder.join("pareto.svg").display(),
        ),
    )?;
    if json {
        print_json(&Line {
            image: outcome.image.display().to_string(),
            run: run.display().to_string(),
            trials: outcome.trials,
            out_of_time: outcome.out_of_time,
            best,
            front: front(&outcome.images),
        })?;
    }
    Ok(())
}

/// Images that are named besides the best.
const NEXT: usize = 3;

/// A trial's precision and model, as `latch train` takes it.
fn describe(trial: &Trial) -> String {
    format!("{}, --model '{}'", trial.precision, trial.model)
}

fn images_table(images: &[&Trial], task: Task) -> String {
    let timed = images.iter().any(|trial| trial.latency_us.is_some());
    let mut heading = vec!["run", "image bytes", "state bytes", "validation", "loss", "epochs", "model"];
    if timed {
        heading.insert(3, "us a token, at most");
    }
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for trial in images {
        let (bytes, right, loss) = trial.measured().unwrap_or_default();
        let mut row = vec![
            trial.run.clone(),
            bytes.to_string(),
            trial.state_bytes.to_string(),
            accuracy(task, right),
            format!("{loss:.4}"),
            trial.epochs.to_string(),
            describe(trial),
        ];
        if timed {
            row.insert(3, trial.latency_us.map_or(String::new(), |time| format!("{time:.0}")));
        }
        rows.push(row);
    }
    table(&rows)
}
