//! How a training run shows itself.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::{accuracy, say};
use crate::config::TrainConfig;
use crate::dataset::Task;
use crate::learning::training::{BatchProgress, Progress};
use crate::metrics::EpochMetrics;

/// A bar a run where standard error is a terminal, and in any case a line an epoch: on standard output, or on standard error where
/// standard output is for machines.
pub(crate) struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
    epochs: u64,
    task: Task,
}

impl Terminal {
    /// The bar of a run; with `quiet` its lines go to standard error.
    pub(crate) fn new(quiet: bool, config: &TrainConfig) -> Self {
        let quantized = config.quantize.as_ref().map_or(0, |quantize| quantize.epochs);
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = ProgressStyle::with_template("{prefix} {bar:8} {msg}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Terminal { bar, quiet, epochs: config.epochs.saturating_add(quantized), task: config.task }
    }
}

impl Progress for Terminal {
    fn batch(&mut self, batch: &BatchProgress) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(batch.batches as u64 * self.epochs);
        bar.set_position((batch.epoch - 1) * batch.batches as u64 + batch.done as u64);
        bar.set_prefix(format!("epoch {}/{}", batch.epoch, self.epochs));
        bar.set_message(format!(
            "loss {:.4}, {}, {:.0} tokens/s",
            batch.loss,
            accuracy(self.task, batch.accuracy),
            batch.tokens_per_second
        ));
    }

    fn epoch(&mut self, metrics: &EpochMetrics, elapsed: Duration, best: bool) {
        let line = format!(
            "epoch {:2}/{}  train loss {:.4}, {}  validation loss {:.4}, {}  {:.1} s{}",
            metrics.epoch,
            self.epochs,
            metrics.train_loss,
            accuracy(self.task, metrics.train_accuracy),
            metrics.valid_loss,
            accuracy(self.task, metrics.valid_accuracy),
            elapsed.as_secs_f64(),
            if best { "  best" } else { "" },
        );
        self.note(&line);
    }

    fn note(&mut self, text: &str) {
        let show = || say(self.quiet, format_args!("{text}"));
        match &self.bar {
            Some(bar) => bar.suspend(show),
            None => show(),
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
