//! How a training run shows itself.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::output::{say, score, warn};
use crate::config::TrainConfig;
use crate::dataset::Task;
use crate::learning::training::{BatchProgress, Progress};
use crate::metrics::EpochMetrics;

/// A bar a run where standard error is a terminal, and in any case a line an epoch: on standard output, or on standard error where
/// standard output is for machines.
pub(crate) struct Terminal {
    bar: Option<ProgressBar>,
    quiet: bool,
    /// The first batch is done.
    begun: bool,
    epochs: u64,
    task: Task,
    /// What the loss is called.
    loss: &'static str,
    /// What the network reads at a time.
    step: &'static str,
}

impl Terminal {
    /// The bar of a run; with `quiet` its lines go to standard error.
    pub(crate) fn new(quiet: bool, config: &TrainConfig) -> Self {
        let quantized = config.quantize.as_ref().map_or(0, |quantize| quantize.epochs);
        let bar = std::io::stderr().is_terminal().then(|| {
            // Until the first batch there is no length to show: the data is read, and the words of texts are counted.
            let bar = ProgressBar::new(0).with_message("reading the data");
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        let epochs = config.epochs.saturating_add(quantized);
        Terminal { bar, quiet, begun: false, epochs, task: config.task, loss: config.loss_name(), step: config.step() }
    }
}

impl Progress for Terminal {
    fn batch(&mut self, batch: &BatchProgress) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(batch.batches as u64 * self.epochs);
        bar.set_position((batch.epoch - 1) * batch.batches as u64 + batch.done as u64);
        bar.set_prefix(format!("epoch {}/{}", batch.epoch, self.epochs));
        bar.set_message(format!(
            "{} {:.4}, {}, {:.0}k {}s/s",
            self.loss,
            batch.loss,
            score(self.task, batch.accuracy),
            batch.tokens_per_second / 1_000.0,
            self.step
        ));
        if !std::mem::replace(&mut self.begun, true) {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {msg}, {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        }
    }

    fn epoch(&mut self, metrics: &EpochMetrics, elapsed: Duration, best: bool) {
        // Where the network learns from all data there is no validation part.
        let validation = match metrics.valid_loss.is_nan() {
            true => String::new(),
            false => {
                let rmse = metrics.valid_rmse.map_or(String::new(), |rmse| format!("RMSE {rmse:.4}, "));
                format!("  validation {:.4}, {rmse}{}", metrics.valid_loss, score(self.task, metrics.valid_accuracy))
            }
        };
        let line = format!(
            "epoch {:2}/{}  train {} {:.4}, {}{validation}  {:.*} s{}",
            metrics.epoch,
            self.epochs,
            self.loss,
            metrics.train_loss,
            score(self.task, metrics.train_accuracy),
            usize::from(elapsed.as_secs_f64() < 10.0),
            elapsed.as_secs_f64(),
            if best && !validation.is_empty() { "  best" } else { "" },
        );
        self.note(&line);
    }

    fn preparing(&mut self, what: &str, done: u64, all: u64) {
        let Some(bar) = &self.bar else { return };
        if bar.length() != Some(all) {
            let template =
                if all > 0 { "{spinner} {msg} {wide_bar} {percent} %" } else { "{spinner} {msg} ({elapsed})" };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_length(all);
        }
        bar.set_message(what.to_owned());
        bar.set_position(done);
    }

    fn warn(&mut self, text: &str) {
        let show = || warn(format_args!("{text}"));
        match &self.bar {
            Some(bar) => bar.suspend(show),
            None => show(),
        }
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
