//! How a search shows itself.

use std::io::IsTerminal;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::{describe, images_table};
use crate::cli::output::{accuracy, say};
use crate::dataset::Task;
use crate::learning::training::{BatchProgress, Progress};
use crate::metrics::EpochMetrics;
use crate::search::{Observer, Trial, Verdict, front};

/// A line a trial and a table a round; a bar a trial where standard error is a terminal.
pub(super) struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
    task: Task,
}

impl Terminal {
    pub(super) fn new(quiet: bool, task: Task) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Terminal { bar, quiet, task }
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

    fn note(&mut self, text: &str) {
        self.show(format_args!("{text}"));
    }
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
            Verdict::Measured { image_bytes, accuracy: right, loss } => {
                let on_front = front(images).iter().any(|other| other.trial == trial.trial);
                self.show(format_args!(
                    "{place}  {image_bytes:7} bytes  {}, loss {loss:.4}  {}{}",
                    accuracy(self.task, *right),
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
                "\nbytes against the validation part, the front so far:\n\n{}",
                images_table(&front, self.task)
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
