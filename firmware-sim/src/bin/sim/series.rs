//! Series as a board reads them: counts of 16 bits, made of values by the units that stand in the image.

use std::path::Path;

use anyhow::Result;
use latch_data::counted::counted;
use latch_data::dataset::{Columns, Part, Task, list};
use latch_data::error::fault;
use latch_data::series::{self, Missing, NO_LABELS, SeriesColumns, SeriesReading, SeriesSet, SeriesTask, Target};
use latch_engine::Model;
use latch_engine::image::Image;
use latch_firmware_sim::sim::source::{Text, bytes_of};

use crate::texts::{ColumnArguments, Loaded};

/// The first series of a file or folder, in any format that `latch train` reads. Only classes of whole series are kept
/// as labels; where an image gives values, or an answer each step, the series need none.
pub(crate) fn labelled(
    path: &Path,
    limit: Option<u64>,
    image: &Loaded,
    columns: &ColumnArguments,
) -> Result<Vec<Text>> {
    let set = load(path, image, columns)?;
    let opened = Image::open(&image.bytes)?;
    let model = Model::new(&opened);
    let text = |series: &series::Series| {
        let channels = (0..model.channels()).cycle();
        let counts = channels.zip(series.frames.iter()).map(|(channel, &value)| model.count_of(channel, value));
        let label = if let Target::Class(class) = series.target { Some(class) } else { None };
        Text { bytes: bytes_of(counts), label }
    };
    Ok(set.series.iter().take(limit.map_or(usize::MAX, |limit| limit as usize)).map(text).collect())
}

/// Reads the series with their labels, or without where there are none or where they are of no use.
fn load(path: &Path, image: &Loaded, columns: &ColumnArguments) -> Result<SeriesSet> {
    let reading = reading(image, columns)?;
    let is_class = reading.task == SeriesTask::Classify;
    let needed = image.answers.channels;
    let first = series::load(path, Part::Test, &reading);
    if let Ok(set) = &first
        && set.channels.len() == needed
    {
        return first;
    }
    let lacks = |error: &anyhow::Error| error.to_string().contains(NO_LABELS);
    if !is_class || first.as_ref().is_err_and(lacks) {
        let unlabelled = SeriesReading::to_answer(needed).filling(reading.missing).within(reading.columns);
        let set = series::load(path, Part::Test, &unlabelled);
        if let Ok(set) = set
            && set.channels.len() == needed
        {
            return Ok(set);
        }
    }
    let found = first?.channels;
    let problem =
        format!("it has {} ({}), and the image reads {needed}", counted(found.len(), "channel"), list(&found));
    Err(fault(path.display(), problem, "choose those of the training with --channels, in its order").into())
}

fn reading(image: &Loaded, columns: &ColumnArguments) -> Result<SeriesReading> {
    let Columns { label, map, encoding, .. } = columns.of_series()?;
    let task = match image.answers.meaning.task() {
        Task::Classify(_) => SeriesTask::Classify,
        Task::Regress => SeriesTask::Regress,
        Task::Tag(_) => SeriesTask::Tag,
        Task::RegressEach => SeriesTask::RegressEach,
    };
    let missing = match columns.missing.as_str() {
        "hold" => Missing::Hold,
        "zero" => Missing::Zero,
        _ => Missing::Refuse,
    };
    let labels = label.iter().flat_map(|names| names.split(',')).map(|name| name.trim().to_owned()).collect();
    let columns =
        SeriesColumns { channels: columns.channels.clone(), labels, map, encoding, ..SeriesColumns::default() };
    Ok(SeriesReading::of(task).filling(missing).within(columns).among(&image.answers.classes))
}

/// Steps of a made-up series.
const STEPS: usize = 32;

/// So many made-up series: noise that is loud in some and quiet in others, so that some values saturate and others do
/// not.
pub(crate) fn made_up(channels: usize, seed: u32, count: usize) -> Vec<Text> {
    let mut number = seed;
    let mut next = || {
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (number >> 16) as i16
    };
    let text = |series: usize| {
        let counts: Vec<i16> = (0..STEPS * channels).map(|_| next() >> (series % 12)).collect();
        Text { bytes: bytes_of(counts), label: None }
    };
    (0..count).map(text).collect()
}
