//! `latch search`: the best model within a budget.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use latch_engine::image::manifest;
use serde::Serialize;

use super::train::{MAX_EPOCHS, ValidArg, absolute, default_config, positive};
use super::{answer, print_json, say};
use crate::folding::parse_bytes;
use crate::report::table;
use crate::run::{RunConfig, Valid};
use crate::search::candidates::Budget;
use crate::search::{Observer, Outcome, Plan, Trial, Verdict, begin, front, resume};
use crate::training::{BatchProgress, EpochMetrics, ModelConfig, Progress, TrainConfig};

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
    /// Labelled texts: an aclImdb folder, or .tsv, .csv, .jsonl, each also .gz
    #[arg(long, required_unless_present = "resume")]
    data: Option<PathBuf>,
    /// Validation part: a path, or the share of the data to set apart
    #[arg(long, default_value = "0.1")]
    valid: ValidArg,
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
    #[arg(long, conflicts_with_all = ["data", "valid", "flash", "ram", "latency", "board", "trials", "minutes", "epochs", "seed"])]
    resume: bool,
    /// Print one line of JSON
    #[arg(long)]
    json: bool,
}

/// What an image may take.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BudgetArgs {
    /// Most bytes of the image, tokenizer and vocabulary included: 65536, 64KiB or 1MiB
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    flash: Option<usize>,
    /// Most bytes of a stream's state
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, requires = "flash")]
    ram: Option<usize>,
    /// Longest time of a token on --board, by the upper end of an estimate: 500us, 2ms
    #[arg(long, value_name = "TIME", value_parser = microseconds, requires_all = ["flash", "board"])]
    latency: Option<f64>,
    /// Part that tokens are timed for, as `latch-sim run` names it
    #[arg(long, requires = "flash")]
    board: Option<String>,
}

impl BudgetArgs {
    /// The budget; `None` where no flash is given.
    pub(super) fn budget(self) -> Option<Budget> {
        let BudgetArgs { flash, ram, latency, board } = self;
        flash.map(|flash| Budget { flash, ram, board, latency })
    }
}

/// Candidates where none are asked for.
pub(super) const TRIALS: usize = 18;

fn minutes(text: &str) -> Result<f64, String> {
    let minutes = text.parse().ok().filter(|minutes: &f64| *minutes > 0.0 && *minutes <= 1e6);
    minutes.ok_or_else(|| "must be a positive number of minutes".into())
}

/// A time in microseconds.
fn microseconds(text: &str) -> Result<f64, String> {
    let units = [("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)];
    units
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|number| (number, factor)))
        .and_then(|(number, factor)| Some(number.trim_end().parse::<f64>().ok()? * factor))
        .filter(|time| *time > 0.0 && time.is_finite())
        .ok_or_else(|| format!("{text:?} is no time; write 500us, 2ms or 1s"))
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
        return go_on(args.out, args.json);
    }
    let train = TrainConfig { epochs: args.epochs, seed: args.seed, ..default_config() };
    let Some(data) = args.data else { bail!("--data is missing although --resume is not given") };
    let Some(budget) = args.budget.budget() else {
        let remedy = "say how large the image may be, as in --flash 64KiB";
        return Err(crate::error::fault("--flash", "the search needs a budget", remedy).into());
    };
    search(data, args.valid.0, budget, train, args.trials, args.minutes, args.out, args.json)
}

/// Begins a search in a folder and reports it.
///
/// # Errors
/// Those of [`begin`].
#[expect(clippy::too_many_arguments, reason = "one for each option that two verbs share")]
pub(super) fn search(
    data: PathBuf,
    valid: Valid,
    budget: Budget,
    train: TrainConfig,
    trials: usize,
    minutes: Option<f64>,
    out: PathBuf,
    json: bool,
) -> Result<()> {
    let base = RunConfig {
        imported: None,
        latch: env!("CARGO_PKG_VERSION").into(),
        train,
        data: absolute(&data),
        data_sha256: String::new(),
        valid: match valid {
            Valid::Path(path) => Valid::Path(absolute(&path)),
            share => share,
        },
    };
    let plan = Plan { latch: env!("CARGO_PKG_VERSION").into(), budget, trials, minutes, base, valid_sha256: None };
    if minutes.is_some() {
        say(json, format_args!("--minutes: how far this search comes depends on the machine, and so does its result"));
    }
    report(begin(plan, &out, &mut Terminal::new(json))?, json)
}

/// Goes on with the search in a folder and reports it.
///
/// # Errors
/// Those of [`resume`].
pub(super) fn go_on(out: PathBuf, json: bool) -> Result<()> {
    report(resume(&out, &mut Terminal::new(json))?, json)
}

fn report(outcome: Outcome, json: bool) -> Result<()> {
    let Some(best) = outcome.images.first() else { bail!("the search has no image") };
    let folder = outcome.image.parent().unwrap_or(&outcome.image);
    let next = outcome.images.iter().skip(1).take(NEXT).collect::<Vec<_>>();
    if !next.is_empty() {
        answer(json, format_args!("next best:\n\n{}", images_table(&next)))?;
    }
    let (bytes, accuracy, loss) = best.measured().unwrap_or_default();
    let run = folder.join(&best.run);
    answer(
        json,
        format_args!(
            "best of {} trials: validation accuracy {:.2} %, loss {loss:.4}, {bytes} bytes, {} bytes of state{}; {}\n\
             run in {}{}\nwrote {} ({bytes} bytes); the plot is {}",
            outcome.trials,
            100.0 * accuracy,
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

/// A trial's model in a few words.
fn describe(trial: &Trial) -> String {
    let ModelConfig { vocab, embedding, lstm, layers, readout, ngrams, .. } = &trial.model;
    let layers = if *layers > 1 { format!(" x {layers}") } else { String::new() };
    let ngrams = if ngrams.count > 0 { format!(" + {} n-grams", ngrams.count) } else { String::new() };
    let readout = manifest::Readout::from(*readout).name();
    format!("{} {vocab} words > {embedding} > LSTM {lstm}{layers} > {readout}{ngrams}", trial.precision)
}

fn images_table(images: &[&Trial]) -> String {
    let timed = images.iter().any(|trial| trial.latency_us.is_some());
    let mut heading = vec!["run", "image bytes", "state bytes", "accuracy", "loss", "epochs", "model"];
    if timed {
        heading.insert(3, "us a token, at most");
    }
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for trial in images {
        let (bytes, accuracy, loss) = trial.measured().unwrap_or_default();
        let mut row = vec![
            trial.run.clone(),
            bytes.to_string(),
            trial.state_bytes.to_string(),
            format!("{:.2} %", 100.0 * accuracy),
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

/// A line a trial and a table a round; a bar a trial where standard error is a terminal.
struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Terminal {
    fn new(quiet: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Terminal { bar, quiet }
    }

    fn show(&self, text: std::fmt::Arguments<'_>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(self.quiet, text)),
            None => say(self.quiet, text),
        }
    }
}

impl Progress for Terminal {
    fn batch(&mut self, batch: &BatchProgress) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(batch.batches as u64);
        bar.set_position(batch.done as u64);
        bar.set_message(format!(
            "epoch {}, loss {:.4}, {:.0} tokens/s",
            batch.epoch, batch.loss, batch.tokens_per_second
        ));
    }

    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {}
}

impl Observer for Terminal {
    fn planned(&mut self, rounds: &[(usize, u64)]) {
        let rounds: Vec<String> = rounds.iter().map(|(trials, epoch)| format!("{trials} to epoch {epoch}")).collect();
        self.show(format_args!("trials that fit, in rounds: {}", rounds.join(", then ")));
    }

    fn begins(&mut self, round: usize, trial: usize, place: usize, of: usize) {
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("round {round}, trial {trial} ({place}/{of})"));
        }
    }

    fn done(&mut self, trial: &Trial, images: &[Trial]) -> Result<()> {
        let place = format!("round {} {}", trial.round, trial.run);
        match &trial.verdict {
            Verdict::Measured { image_bytes, accuracy, loss } => {
                let on_front = front(images).iter().any(|other| other.trial == trial.trial);
                self.show(format_args!(
                    "{place}  {image_bytes:7} bytes  accuracy {:.2} %, loss {loss:.4}  {}{}",
                    100.0 * accuracy,
                    describe(trial),
                    if on_front { "  on the front" } else { "" },
                ));
            }
            Verdict::Failed { failed } => self.show(format_args!("{place}  failed: {failed}")),
        }
        Ok(())
    }

    fn round_done(&mut self, images: &[Trial]) {
        if !images.is_empty() {
            let front = front(images);
            self.show(format_args!(
                "\nbytes against validation accuracy, the front so far:\n\n{}",
                images_table(&front)
            ));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_nothing_else_is() {
        assert_eq!(microseconds("500us"), Ok(500.0));
        assert_eq!(microseconds("1.5 ms"), Ok(1_500.0));
        assert_eq!(microseconds("1s"), Ok(1e6));
        for text in ["", "500", "us", "-1ms", "0us", "infs", "NaNs"] {
            assert!(microseconds(text).is_err(), "{text}");
        }
    }
}
