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
