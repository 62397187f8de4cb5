//! The options of `latch train` about series of samples.

use std::num::NonZeroUsize;
use std::path::Path;

use latch_data::series::{self, SeriesColumns};

use crate::cli::args::ValidArg;
use crate::cli::columns::ColumnArgs;
use crate::cli::kinds::{MissingArg, TaskArg};
use crate::config::augment::Augment;
use crate::config::{ModelConfig, SeriesConfig, Valid};
use crate::dataset::{Columns, Part, Task};
use crate::error::{Fault, fault};
use crate::runs::recordings::are_series;

/// How series are read and cut.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct SeriesArgs {
    /// Channels that are read, by name or number from 1, in this order [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub(super) channels: Vec<String>,
    /// Column that says to which series a row belongs
    #[arg(long, value_name = "NAME|NUMBER")]
    pub(super) series_column: Option<String>,
    /// Column of the time, which is no channel
    #[arg(long, value_name = "NAME|NUMBER")]
    pub(super) time_column: Option<String>,
    /// What becomes of a missing value
    #[arg(long, value_enum, default_value = "refuse")]
    pub(super) missing: MissingArg,
    /// Cut each recording into windows of this many steps
    #[arg(long, value_name = "STEPS")]
    pub(super) window: Option<NonZeroUsize>,
    /// Steps from one window to the next [default: those of the window]
    #[arg(long, value_name = "STEPS", requires = "window")]
    pub(super) stride: Option<NonZeroUsize>,
    /// Steps from each step to the one that is forecast there, for --task forecast [default: 1]
    #[arg(long, value_name = "STEPS")]
    pub(super) horizon: Option<NonZeroUsize>,
    /// Change the training part at random, anew for each epoch: noise= in standard deviations of a channel, scale= the deviation of a gain for each series, shift= the most steps in time
    #[arg(long, value_name = "noise=…,scale=…,shift=…")]
    pub(super) augment: Option<Augment>,
    /// Carry the state from window to window of a recording, as a device does: truncated back-propagation over recordings longer than a window, where each step has an answer
    #[arg(long, requires = "window", conflicts_with = "stride")]
    pub(super) carry: bool,
}

impl SeriesArgs {
    /// The task: a forecast is a number for each window, or for each step.
    pub(super) fn task(&self, asked: TaskArg) -> Task {
        match asked {
            TaskArg::Forecast if self.window.is_some() && !self.carry => Task::Regress,
            asked => asked.task(),
        }
    }

    /// Steps of a window, where the state is carried from each to the next.
    pub(super) fn carried(&self) -> Option<usize> {
        self.window.filter(|_| self.carry).map(NonZeroUsize::get)
    }

    /// The names of the options that were given.
    pub(super) fn given(&self) -> Option<&'static str> {
        [
            ("--channels", !self.channels.is_empty()),
            ("--series-column", self.series_column.is_some()),
            ("--time-column", self.time_column.is_some()),
            ("--missing", self.missing != MissingArg::Refuse),
            ("--window", self.window.is_some()),
            ("--stride", self.stride.is_some()),
            ("--horizon", self.horizon.is_some()),
            ("--augment", self.augment.is_some()),
            ("--carry", self.carry),
        ]
        .into_iter()
        .find_map(|(option, given)| given.then_some(option))
    }

    /// What is read of series; `None` where the data is texts: no model of samples, no forecast, and no file of series.
    ///
    /// # Errors
    /// A fault when options contradict each other.
    pub(super) fn config(
        &self,
        data: &Path,
        task: TaskArg,
        model: Option<&ModelConfig>,
        columns: &ColumnArgs,
    ) -> Result<Option<SeriesConfig>, Fault> {
        let reads_samples = model.is_some_and(|model| model.samples.is_some());
        let forecasts = task == TaskArg::Forecast;
        // A table may be either, and a model that reads text says which.
        let is_told = model.is_some() && !is_array(data);
        if self.horizon.is_some() && !forecasts {
            return Err(fault("--horizon", "only a forecast has one", "add --task forecast, or leave it out"));
        }
        if !reads_samples && !forecasts && (is_told || !are_series(data, Part::Train)) {
            return match self.given() {
                Some(option) => Err(fault(option, "the data is texts", "leave it out, or name a file of series")),
                None => Ok(None),
            };
        }
        if let Some(model) = model.filter(|_| !reads_samples) {
            let problem = format!("the data is series, and the model reads `{}`", model.input());
            return Err(fault("--model", problem, "begin it with `samples`, as in 'samples > gru 24 > last > dense'"));
        }
        for (option, given) in
            [("--text-column", columns.text_column.is_some()), ("--label-pattern", columns.label_pattern.is_some())]
        {
            if given {
                return Err(fault(option, "the data is series", "leave it out"));
            }
        }
        // With a state that is carried, recordings stay whole.
        let window =
            self.window.filter(|_| !self.carry).map(|window| (window.get(), self.stride.unwrap_or(window).get()));
        let labels = columns.label_column.iter().flat_map(|labels| labels.split(','));
        Ok(Some(SeriesConfig {
            columns: SeriesColumns {
                channels: self.channels.clone(),
                labels: labels.map(|label| label.trim().to_owned()).collect(),
                series: self.series_column.clone(),
                time: self.time_column.clone(),
                map: Columns::joined(columns.label_map.clone())?,
                encoding: columns.encoding.clone(),
            },
            missing: self.missing.into(),
            window,
            horizon: forecasts.then(|| self.horizon.map_or(1, NonZeroUsize::get)),
            forecast_channel: None,
            season: None,
        }))
    }
}

/// Whether a name is that of a file that no texts are in.
fn is_array(path: &Path) -> bool {
    let name = path.to_string_lossy();
    [".ts", ".ts.gz", ".npy", ".npz"].iter().any(|end| name.ends_with(end))
}

/// The validation part of series: as of texts, but a folder's own file is one of series.
pub(super) fn valid_of(asked: Option<&ValidArg>, data: &Path, otherwise: Valid) -> Valid {
    match asked {
        None if series::has_part(data, Part::Valid) => Valid::Path(crate::cli::args::absolute(data)),
        _ => otherwise,
    }
}
