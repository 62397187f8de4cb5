//! `latch search`: the best model within a budget.

mod tables;
mod terminal;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use latch_engine::input::text::Tokens;
use serde::Serialize;

use self::tables::{describe, models};
use self::terminal::Terminal;
use super::args::{BudgetArgs, ValidArg, absolute, valid_of};
use super::columns::ColumnArgs;
use super::interrupt;
use super::kinds::TaskArg;
use super::output::{accuracy, answer, print_json, say};
use crate::config::{MAX_EPOCHS, RunConfig, TrainConfig, default_config, model_of};
use crate::counted::counted;
use crate::search::candidates::Budget;
use crate::search::{Outcome, Plan, Trial, begin, front, has_search, plan, resume, standard_error};

/// Search for the best model within a budget of flash, RAM and time.
///
/// Sizes are known before training, so that every trial fits; half of the trials are smaller than the budget, down to a sixteenth of it. Many
/// candidates train for a few epochs, the best third of them longer, the best third of these to the end; each is ranked by the accuracy of its
/// exported image on the validation part. If several are equally accurate, the smallest wins. Writes best.latch and the plot pareto.svg into --out.
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
    /// What a label is: classify, regress, tag or regress-each, as `latch train` has it
    #[arg(long, value_enum, default_value = "classify", hide_possible_values = true)]
    task: TaskArg,
    /// Validation data: a path, or the fraction of --data to hold out [default: the folder's own, else 0.1]
    #[arg(long)]
    valid: Option<ValidArg>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Epochs of each trial in the last round
    #[arg(long, default_value_t = default_config().epochs, value_parser = clap::value_parser!(u64).range(1..=MAX_EPOCHS))]
    epochs: u64,
    /// Random seed: the same seed gives the same bytes
    #[arg(long, default_value_t = default_config().seed)]
    seed: u64,
    /// Folder of the search; every trial is a run in it
    #[arg(long)]
    out: PathBuf,
    /// Continue the search in --out with its own options
    #[arg(long, conflicts_with_all = ["data", "label_column", "text_column", "label_map", "task", "valid", "flash", "ram", "latency", "board", "trials", "minutes", "epochs", "seed"])]
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
    /// Of the best accuracy on the validation part.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_error: Option<f64>,
}

/// Runs the verb.
///
/// # Errors
/// Those of [`begin`] and [`resume`].
pub fn run(args: Args) -> Result<()> {
    let out = args.out.clone();
    run_in(args).map_err(|error| interrupt::explain_full(error, "search", &out, has_search))
}

fn run_in(args: Args) -> Result<()> {
    interrupt::explain("search", &args.out, has_search);
    if args.resume {
        return go_on(&args.out, args.json);
    }
    let Some(data) = args.data else { bail!("--data is missing although --resume is not given") };
    if crate::runs::recordings::are_series(&data, crate::dataset::Part::Train) {
        let problem =
            "it holds series, and a search tries models of texts: latch train tries models of series by itself";
        return Err(crate::error::fault(data.display(), problem, "name it to latch train").into());
    }
    let Some(asked) = args.budget.search() else {
        let remedy = "say how large the image may be, as in --flash 64KiB";
        return Err(crate::error::fault("--flash", "the search needs a budget", remedy).into());
    };
    let task = args.task.task();
    let base = RunConfig {
        imported: None,
        series: None,
        latch: env!("CARGO_PKG_VERSION").into(),
        train: TrainConfig {
            model: model_of(task, None),
            task,
            epochs: args.epochs,
            seed: args.seed,
            ..default_config()
        },
        data: absolute(&data),
        data_sha256: String::new(),
        columns: args.columns.columns()?,
        classes: Vec::new(),
        valid: valid_of(args.valid.as_ref(), &data),
    };
    search(base, None, asked, &args.out, args.json)
}

/// Begins a search in a folder and reports it.
///
/// # Errors
/// Those of [`begin`].
pub(super) fn search(
    base: RunConfig,
    tokens: Option<Tokens>,
    (budget, trials, minutes): (Budget, usize, Option<f64>),
    out: &Path,
    json: bool,
) -> Result<()> {
    let task = base.train.task;
    let plan = Plan { latch: env!("CARGO_PKG_VERSION").into(), budget, trials, minutes, base, valid_sha256: None };
    if minutes.is_some() {
        say(json, format_args!("--minutes: how far this search comes depends on the machine, and so does its result"));
    }
    report(begin(plan, tokens, out, &mut Terminal::new(json, task, minutes))?, json)
}

/// Goes on with the search in a folder and reports it.
///
/// # Errors
/// Those of [`resume`].
pub(super) fn go_on(out: &Path, json: bool) -> Result<()> {
    let plan = plan(out)?;
    let mut terminal = Terminal::new(json, plan.base.train.task, plan.minutes);
    report(resume(out, &mut terminal)?, json)
}

fn report(outcome: Outcome, json: bool) -> Result<()> {
    let Some(best) = outcome.images.first() else { bail!("the search has no image") };
    let folder = outcome.image.parent().unwrap_or(&outcome.image);
    let front = front(&outcome.images);
    let (bytes, right, loss) = best.measured().unwrap_or_default();
    let error = standard_error(right, outcome.answers);
    answer(json, format_args!("the front, best first:\n\n{}", models(&front, Some(best), outcome.task)))?;
    let nearly = front.iter().copied().find(|trial| trial.measured().is_some_and(|(_, of, _)| of >= right - error));
    if let Some(smaller) = nearly.filter(|smaller| smaller.trial != best.trial && !outcome.task.has_values()) {
        let (bytes, right, _) = smaller.measured().unwrap_or_default();
        let text = format!(
            "{} is within one standard error ({:.2} points) of the best: {:.2} % in {bytes} bytes",
            smaller.run,
            100.0 * error,
            100.0 * right
        );
        answer(json, format_args!("{text}"))?;
    }
    let run = folder.join(&best.run);
    answer(
        json,
        format_args!(
            "best of {}: validation {}, loss {loss:.4}, {bytes} bytes, {} bytes of state{}; {}\n\
             run in {}{}\nwrote {} ({bytes} bytes); the plot is {}",
            counted(outcome.trials, "trial"),
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
            front,
            standard_error: (!outcome.task.has_values()).then_some(error),
        })?;
    }
    Ok(())
}
