//! All recordings of a source in memory: checked, labelled, counted.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;

use super::source::Answers;
use super::values::{Filled, fill};
use super::{Frames, Missing, Series, SeriesReading, SeriesSet, Target, parts};
use crate::counted::counted;
use crate::dataset::{Part, in_units, list, quoted};
use crate::error::fault;

/// Loads the recordings of `path`, with values of at most `most` bytes.
pub(super) fn load(path: &Path, part: Part, reading: &SeriesReading, most: u64) -> Result<SeriesSet> {
    let file = parts::locate(path, part)?;
    let mut source = parts::open(&file, reading)?;
    let mut answers = Answers::new(reading);
    let mut series: Vec<Series> = Vec::new();
    let (mut bytes, mut channels, mut filled) = (0, 0, Filled::default());
    let mut ids: HashMap<String, usize> = HashMap::new();
    while let Some(mut recording) = source.read(&mut answers)? {
        if channels == 0 {
            channels = source.channels().len();
        }
        if reading.missing != Missing::Refuse {
            filled = filled.and(fill(&mut recording.values, channels, reading.missing));
        }
        bytes += (size_of_val(&recording.values[..]) + size_of::<Series>()) as u64;
        if bytes > most {
            let count = counted(series.len() + 1, "series");
            let problem = format!("with this series {count} take more than {} of memory", in_units(most));
            let remedy = "divide the file, or permit more with --max-memory";
            return Err(fault(recording.place, problem, remedy).into());
        }
        if let Some(id) = &recording.id
            && let Some(other) = ids.insert(id.clone(), series.len())
        {
            let problem = format!("two series are called {}: this one and that at {}", quoted(id), series[other].place);
            return Err(fault(recording.place, problem, "give each a name of its own").into());
        }
        series.push(Series {
            id: recording.id.unwrap_or_else(|| (series.len() + 1).to_string()),
            start: 0,
            frames: Frames::new(recording.values, channels),
            first: 0,
            target: recording.target,
            place: recording.place.to_string(),
        });
    }
    if series.is_empty() {
        return Err(fault(file.display(), "there is no series in it", "name a file with recordings").into());
    }
    answers.verdict(&file, part)?;
    answers.unused(&file, part)?;
    let classes = match &mut answers.coder {
        Some(coder) if reading.task.has_classes() => {
            let numbers = coder.sort();
            series.iter_mut().for_each(|series| series.target.renumber(&numbers));
            coder.names.clone()
        }
        _ => Vec::new(),
    };
    let outputs = match &series[0].target {
        Target::Values(values) => values.len(),
        Target::EachValues(values) => values.len() / series[0].steps().max(1),
        _ => 0,
    };
    let named = source.outputs();
    let outputs = if named.len() == outputs { named } else { super::values::numbered(outputs) };
    let mut set = SeriesSet {
        name: parts::name(path),
        task: reading.task,
        channels: source.channels(),
        classes,
        outputs,
        series,
        sha256: String::new(),
        layout: source.layout().join(", "),
        filled,
        notes: Vec::new(),
    }
    .digested();
    set.notes = notes(&set, reading.missing);
    Ok(set)
}

/// What is odd in a set, a sentence each.
fn notes(set: &SeriesSet, missing: Missing) -> Vec<String> {
    let mut notes: Vec<String> = set.filled.words(missing).into_iter().collect();
    let statistics = set.statistics();
    let constant: Vec<String> = set
        .channels
        .iter()
        .zip(&statistics)
        .filter(|(_, channel)| channel.is_constant())
        .map(|(name, channel)| format!("{name} ({})", channel.low))
        .collect();
    if !constant.is_empty() {
        let (channels, are) = if constant.len() == 1 {
            ("channel", "is constant: it tells")
        } else {
            ("channels", "are constant: they tell")
        };
        notes.push(format!("{channels} {} {are} nothing", list(&constant)));
    }
    let single = set.series.iter().filter(|series| series.steps() == 1).count();
    if single > 0 {
        notes.push(format!("{} of {} have one step", single, counted(set.series.len(), "series")));
    }
    notes
}
