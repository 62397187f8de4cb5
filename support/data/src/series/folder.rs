//! A folder for each class, with a recording in each file.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::source::{Answers, Recording, Source};
use super::{SeriesReading, SeriesTask, Target};
use crate::dataset::{Place, list};
use crate::error::fault;

/// What opens the file of a recording.
pub(super) type Open = fn(&Path, &SeriesReading) -> Result<Box<dyn Source>>;

/// Reads a recording from each file: one class after the other, each in the order of its file names.
pub(super) struct Folder {
    /// The files with their classes, the next one last.
    files: Vec<(String, PathBuf)>,
    /// As the files are read, which have no labels.
    reading: SeriesReading,
    open: Open,
    task: SeriesTask,
    /// The channels and the layout of the first file.
    channels: Vec<String>,
    layout: Vec<String>,
    rate: Option<u32>,
    first: Option<PathBuf>,
}

impl Folder {
    pub(super) fn new(
        path: &Path,
        mut files: Vec<(String, PathBuf)>,
        reading: &SeriesReading,
        open: Open,
    ) -> Result<Self> {
        let refuse = |problem: &str, remedy: &str| Err(fault(path.display(), problem, remedy).into());
        if !matches!(reading.task, SeriesTask::Classify | SeriesTask::Forecast) {
            return refuse(
                "a folder of classes has no other labels than those",
                "name a .csv file with a row a time step",
            );
        }
        if !reading.columns.labels.is_empty() || reading.columns.series.is_some() {
            return refuse(
                "a folder of classes names them itself",
                "leave out --label-column and --series-column, or name a file",
            );
        }
        files.reverse();
        let inner = SeriesReading { task: SeriesTask::Forecast, ..reading.clone() };
        let (channels, layout) = (Vec::new(), Vec::new());
        Ok(Self { files, reading: inner, open, task: reading.task, channels, layout, rate: None, first: None })
    }
}

impl Source for Folder {
    fn read(&mut self, answers: &mut Answers) -> Result<Option<Recording>> {
        let Some((class, path)) = self.files.pop() else { return Ok(None) };
        let mut source = (self.open)(&path, &self.reading)?;
        let place = Place { path: path.as_path().into(), line: None };
        // Labels are not read within a file.
        let mut silent = Answers::new(&self.reading);
        let Some(recording) = source.read(&mut silent)? else {
            return Err(fault(place, "there is no series in it", "remove the file").into());
        };
        if source.read(&mut silent)?.is_some() {
            let problem = "it has several series, and a file of a folder of classes is one";
            return Err(fault(place, problem, "write each into a file of its own, or name the file itself").into());
        }
        let channels = source.channels();
        match &self.first {
            None => {
                self.channels = channels;
                self.layout = source.layout();
                self.rate = source.rate();
                self.first = Some(path.clone());
            }
            Some(first) if channels != self.channels => {
                let (other, own) = (list(&self.channels), list(&channels));
                let problem = format!("its channels are {own}, and those of {} are {other}", first.display());
                return Err(fault(
                    place,
                    problem,
                    "give all files the same channels in the same order, or choose them with --channels",
                )
                .into());
            }
            Some(first) if source.rate() != self.rate => {
                let hertz = |rate: Option<u32>| rate.map_or("no rate".to_owned(), |rate| format!("{rate} Hz"));
                let problem =
                    format!("it has {}, and {} has {}", hertz(source.rate()), first.display(), hertz(self.rate));
                return Err(fault(
                    place,
                    problem,
                    "bring all sounds to one rate, such as ffmpeg -i IN -ar 16000 OUT.wav",
                )
                .into());
            }
            Some(_) => {}
        }
        let target = if self.task == SeriesTask::Forecast { Target::None } else { answers.whole(&[&class], &place)? };
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(Recording { id: Some(format!("{class}/{file}")), target, place, ..recording }))
    }

    fn channels(&self) -> Vec<String> {
        self.channels.clone()
    }

    fn layout(&self) -> Vec<String> {
        ["one folder for each class".to_owned()].into_iter().chain(self.layout.iter().cloned()).collect()
    }
}
