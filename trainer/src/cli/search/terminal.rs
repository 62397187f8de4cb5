//! How a search shows itself.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::tables::{describe, images_table};
use crate::cli::output::{accuracy, say};
use crate::cli::repeat::options_of;
use crate::config::RunConfig;
use crate::dataset::Task;
use crate::learning::training::{BatchProgress, Progress};
use crate::metrics::EpochMetrics;
use crate::search::pace::{Pace, in_words};
use crate::search::{Observer, Trial, Verdict, front};

/// A line a trial and a table a round; a bar a trial where standard error is a terminal.
pub(super) struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
    task: Task,
    pace: Pace,
    began: Instant,
    /// The time that the whole search may take.
    limit: Option<Duration>,
    /// The place of the trial in its round, and how many that has.
    place: (usize, usize),
    /// The round, from 1, and how many there are.
    round: (usize, usize),
}

impl Terminal {
    pub(super) fn new(quiet: bool, task: Task, minutes: Option<f64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let limit = minutes.and_then(|minutes| Duration::try_from_secs_f64(60.0 * minutes).ok());
        Terminal { bar, quiet, task, pace: Pace::default(), began: Instant::now(), limit, place: (0, 0), round: (0, 0) }
    }

    fn show(&self, text: std::fmt::Arguments<'_>) {
        match &self.bar {
            Some(bar) => bar.suspend(|| say(self.quiet, text)),
            None => say(self.quiet, text),
        }
    }

    /// The time that is left, in words.
    fn left(&self) -> String {
        let left = self.pace.left(self.began.elapsed(), self.limit);
        left.filter(|left| !left.is_zero()).map_or(String::new(), |left| format!(", about {} left", in_words(left)))
    }
}

impl Progress for Terminal {
    fn batch(&mut self, batch: &BatchProgress) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(batch.batches as u64);
        bar.set_position(batch.done as u64);
        bar.set_message(format!("epoch {}, loss {:.3}{}", batch.epoch, batch.loss, self.left()));
    }

    fn epoch(&mut self, _: &EpochMetrics, _: Duration, _: bool) {
        self.pace.epoch();
    }

    fn note(&mut self, text: &str) {
        self.show(format_args!("{text}"));
    }
}

impl Observer for Terminal {
    fn settings(&self, config: &RunConfig) -> Option<String> {
        options_of(config, Some(config.train.tokens()))
    }

    fn planned(&mut self, rounds: &[(usize, u64)]) {
        self.pace = Pace::new(rounds);
        self.round.1 = rounds.len();
        self.began = Instant::now();
        let rounds: Vec<String> = rounds.iter().map(|(trials, epoch)| format!("{trials} to epoch {epoch}")).collect();
        self.show(format_args!("trials that fit, in rounds: {}", rounds.join(", then ")));
    }

    fn begins(&mut self, round: usize, trial: usize, place: usize, of: usize) {
        self.pace.begins(round, place, of);
        (self.place, self.round.0) = ((place, of), round);
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("round {round}, trial {trial} ({place}/{of})"));
        }
    }

    fn done(&mut self, trial: &Trial, images: &[Trial]) -> Result<()> {
        let (place, of) = self.place;
        self.pace.ends(trial.round, place, of);
        let at = format!("round {} {} ({place}/{of})", trial.round, trial.run);
        match &trial.verdict {
            Verdict::Measured { image_bytes, accuracy: right, loss } => {
                let on_front = front(images).iter().any(|other| other.trial == trial.trial);
                self.show(format_args!(
                    "{at}: {image_bytes} bytes, {}, loss {loss:.4}{}{}\n    {}",
                    accuracy(self.task, *right),
                    if on_front { ", on the front" } else { "" },
                    self.left(),
                    describe(trial),
                ));
            }
            Verdict::Failed { failed } => self.show(format_args!("{at}: failed: {failed}")),
        }
        Ok(())
    }

    fn round_done(&mut self, images: &[Trial]) {
        // After the last round the whole front follows anyway.
        if !images.is_empty() && self.round.0 < self.round.1 {
            let front = front(images);
            self.show(format_args!(
                "\nthe front so far: the best image of each size\n\n{}",
                images_table(&front, images.first(), self.task)
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
