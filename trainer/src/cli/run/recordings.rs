//! What `latch run` reads: the series of a file as the image's run reads them, and those of them that are to be answered.

use std::path::PathBuf;

use anyhow::Result;
use latch_data::series::{self, Missing, Series, SeriesColumns, SeriesSet};
use latch_engine::image::Image;

use crate::cli::kinds::MissingArg;
use crate::config::SeriesConfig;
use crate::counted::counted;
use crate::dataset::{Part, list};
use crate::error::{Fault, fault, find_fault};
use crate::run_report::refuse_other;
use crate::runs::folder::RunFolder;
use crate::runs::recordings::reading_to_answer;

/// Which series are read, and how.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RecordingArgs {
    /// The series, in the formats of `latch train`: .csv, .ts, .npy, .npz, .wav, or a folder, of which the test part is read. Labels are not read
    #[arg(long)]
    pub(super) data: PathBuf,
    /// Run that the image was exported from: channels by their names, columns, encoding and missing values are as in its data, where no option says otherwise
    #[arg(long, value_name = "FOLDER")]
    run: Option<PathBuf>,
    /// The one series to answer, by its name or its number from 1 [default: all]
    #[arg(long, value_name = "NAME|NUMBER")]
    series: Option<String>,
    /// Columns that are read as channels, by name or number from 1, in this order [default: as the run has them, else all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    channels: Vec<String>,
    /// Column of labels, which is not read
    #[arg(long, value_name = "NAME|NUMBER")]
    label_column: Option<String>,
    /// Column that says to which series a row belongs
    #[arg(long, value_name = "NAME|NUMBER")]
    series_column: Option<String>,
    /// Column of the time, which is no channel
    #[arg(long, value_name = "NAME|NUMBER")]
    time_column: Option<String>,
    /// Encoding of text files, such as latin-1 [default: UTF-8, or UTF-16 by its byte-order mark]
    #[arg(long, value_name = "NAME")]
    encoding: Option<String>,
    /// What becomes of a missing value [default: as the run does, else refuse]
    #[arg(long, value_enum)]
    missing: Option<MissingArg>,
}

/// What was read.
pub(super) struct Recordings {
    /// The series that are to be answered, with what the file says of them.
    pub(super) set: SeriesSet,
    /// What was found where, in words, and what was taken for granted.
    pub(super) layout: Option<String>,
    /// What was done about missing values, in words.
    pub(super) filled: Option<String>,
}

impl RecordingArgs {
    /// Reads the series for an image of so many channels.
    ///
    /// # Errors
    /// A fault when they cannot be read, have other channels, or when there is no such series.
    pub(super) fn read(&self, channels: usize) -> Result<Recordings> {
        let config = self.config()?;
        let mut set = series::load(&self.data, Part::Test, &reading_to_answer(&config, channels))
            .map_err(|error| self.of_the_run(error, &config.columns.channels))?;
        self.check_channels(&set, channels)?;
        if let Some(wanted) = &self.series {
            set.series = vec![self.chosen(&set, wanted)?];
        }
        let by_order = channels > 1 && config.columns.channels.is_empty();
        let names = match self.run {
            None => "an image has no names of channels, its run has (--run)",
            Some(_) => "there are no names to find those of the run by",
        };
        let order = by_order.then(|| format!("channels {} by their order: {names}", list(&set.channels)));
        let layout = [Some(set.layout.clone()).filter(|layout| !layout.is_empty()), order];
        let layout = layout.into_iter().flatten().reduce(|layout, order| layout + "; " + &order);
        Ok(Recordings { filled: set.filled.words(config.missing), layout, set })
    }

    /// The error of columns that the run names, and no option.
    fn of_the_run(&self, error: anyhow::Error, channels: &[String]) -> anyhow::Error {
        match find_fault(&error) {
            Some(Fault { place, problem, .. }) if place == "--channels" && self.channels.is_empty() => {
                let problem = format!("{problem}; the run learned from {}", list(channels));
                fault("--run", problem, "give the file a header with these names, or name its columns with --channels")
                    .into()
            }
            _ => error,
        }
    }

    /// As the run reads its data, but for what is said.
    fn config(&self) -> Result<SeriesConfig> {
        let run = self.run.as_ref().map(|run| RunFolder::new(run).config()).transpose()?;
        let mut config = run.and_then(|run| run.series).unwrap_or_default();
        let SeriesColumns { channels, labels, series, time, encoding, .. } = &mut config.columns;
        if !self.channels.is_empty() || !self.has_names() {
            channels.clone_from(&self.channels);
        }
        if let Some(label) = &self.label_column {
            *labels = label.split(',').map(|label| label.trim().to_owned()).collect();
            // Of a forecast the run's label is the channel to forecast.
            config.horizon = None;
        }
        for (own, said) in [(series, &self.series_column), (time, &self.time_column), (encoding, &self.encoding)] {
            *own = said.clone().or(own.take());
        }
        config.missing = self.missing.map(Missing::from).unwrap_or(config.missing);
        Ok(config)
    }

    /// Whether its format has names of channels.
    fn has_names(&self) -> bool {
        let name = self.data.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        ![".ts", ".npy", ".npz", ".wav"].iter().any(|extension| stem.ends_with(extension))
    }

    /// The series of this name, or of this number from 1.
    fn chosen(&self, set: &SeriesSet, wanted: &str) -> Result<Series, Fault> {
        let by_name = set.series.iter().find(|series| series.id == wanted);
        let by_number = || wanted.parse::<usize>().ok().and_then(|number| set.series.get(number.checked_sub(1)?));
        by_name.or_else(by_number).cloned().ok_or_else(|| {
            const SHOWN: usize = 8;
            let names: Vec<&str> = set.series.iter().take(SHOWN).map(|series| series.id.as_str()).collect();
            let more = if set.series.len() > SHOWN { ", …" } else { "" };
            let (place, count) = (self.data.display(), counted(set.series.len(), "series"));
            let problem = format!("{place} has no series {wanted:?}; it has {count}: {}{more}", list(&names));
            fault("--series", problem, "name one of these, or its number from 1")
        })
    }

    /// Whether one series was asked for.
    pub(super) fn is_one(&self) -> bool {
        self.series.is_some()
    }

    /// Says that an image is none of the run whose columns are taken.
    ///
    /// # Errors
    /// A fault when the run cannot be read.
    pub(super) fn check_run(&self, image: &Image<'_>) -> Result<()> {
        let Some(run) = &self.run else { return Ok(()) };
        refuse_other("--run", image, &RunFolder::new(run).config()?)
    }

    /// Refuses series of other channels than the image's.
    fn check_channels(&self, set: &SeriesSet, needed: usize) -> Result<(), Fault> {
        let found = set.channels.len();
        if found == needed {
            return Ok(());
        }
        let has = format!("{} ({})", counted(found, "channel"), list(&set.channels));
        let problem = format!("it has {has}, and the image reads {needed}");
        let remedy = if set.series.len() == 1 && set.series[0].steps() == needed {
            "give it the shape [steps, channels]: it may be the other way round".to_owned()
        } else if found > needed {
            "choose those of the training with --channels, in its order, or name its run with --run".to_owned()
        } else {
            format!("give it {}, those of the training in its order", counted(needed, "column"))
        };
        Err(fault(self.data.display(), problem, remedy))
    }
}
