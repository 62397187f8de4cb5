//! What a terminal shows while something takes its time.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::say;

/// A line on standard error that moves as long as this value lives, with the seconds; nothing where that is no terminal.
pub(super) struct Waiting(Option<ProgressBar>);

impl Waiting {
    pub(super) fn new(text: &str) -> Self {
        Waiting(std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(text.to_owned());
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        }))
    }

    /// Shows how far it has come, where that is known.
    pub(super) fn at(&self, done: u64, all: u64) {
        let Some(bar) = self.0.as_ref().filter(|_| all > 0) else { return };
        if bar.length() != Some(all) {
            let style = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {percent} %");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_length(all);
        }
        bar.set_position(done);
    }

    /// Says something meanwhile.
    pub(super) fn say(&self, json: bool, text: &str) {
        let show = || say(json, format_args!("{text}"));
        match &self.0 {
            Some(bar) => bar.suspend(show),
            None => show(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
