//! `.ts`, the format of the UCR and UEA archives (timeseriesclassification.com).
//!
//! Lines that begin with `#` or `%` are comments. A header follows, `@key value` a line, up to `@data`; then a recording a line: channels separated by
//! `:`, the values of a channel by `,`, and the label last. With `@timeStamps true` a value is `(time,value)`, of which the time is left out.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Result;
use flate2::{Compression, write::GzEncoder};

use super::source::{Answers, Recording, Source};
use super::values::{Cell, chosen, numbered};
use super::{Missing, SeriesReading, SeriesSet, SeriesTask, Target};
use crate::dataset::lines::Lines;
use crate::dataset::{Place, list, quoted};
use crate::error::{Fault, fault};
use crate::files::{Staged, stage};

/// The longest line: a recording of a million steps and many channels.
const LONGEST_LINE: usize = 256 << 20;

/// What stands last in a line of data.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LabelKind {
    /// One of these classes; of any where none is named.
    Class(Vec<String>),
    /// A number.
    Number,
    /// Nothing.
    None,
}

/// What the lines in front of `@data` say.
#[derive(Debug)]
struct Header {
    time_stamps: bool,
    /// `@equalLength true` with `@seriesLength`.
    steps: Option<usize>,
    /// `@dimensions`, or 1 of `@univariate true`.
    channels: Option<usize>,
    label: LabelKind,
    /// Lines that nobody knows.
    ignored: Vec<String>,
}

impl Header {
    /// Reads the lines up to `@data`.
    fn read(lines: &mut Lines) -> Result<Self> {
        let mut header = Header {
            time_stamps: false,
            steps: None,
            channels: None,
            label: LabelKind::Class(Vec::new()),
            ignored: Vec::new(),
        };
        let (mut equal, mut length, mut univariate) = (None, None, None);
        let mut targets = false;
        while lines.advance_to_text()? {
            let line = lines.line()?.trim();
            if line.starts_with(['#', '%']) {
                continue;
            }
            let Some(line) = line.strip_prefix('@') else {
                let remedy = "write the header first, lines such as @classLabel true a b, and @data in front of the first series";
                return Err(
                    fault(lines.place(), "this line stands in front of @data and is no header line", remedy).into()
                );
            };
            let (key, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let (place, value) = (lines.place(), value.trim());
            match key.to_ascii_lowercase().as_str() {
                "data" => {
                    header.steps = length.filter(|_| equal == Some(true));
                    header.channels = header.channels.or((univariate == Some(true)).then_some(1));
                    if targets {
                        header.label = LabelKind::Number;
                    }
                    return Ok(header);
                }
                "timestamps" => header.time_stamps = flag(key, value, &place)?,
                "univariate" => univariate = Some(flag(key, value, &place)?),
                "equallength" => equal = Some(flag(key, value, &place)?),
                "targetlabel" => targets = flag(key, value, &place)?,
                "serieslength" => length = Some(count(key, value, &place)?),
                "dimension" | "dimensions" => header.channels = Some(count(key, value, &place)?),
                "classlabel" => {
                    let mut words = value.split_whitespace();
                    header.label = match flag(key, words.next().unwrap_or_default(), &place)? {
                        true => LabelKind::Class(words.map(str::to_owned).collect()),
                        false => LabelKind::None,
                    };
                }
                "problemname" | "missing" => {}
                _ => header.ignored.push(format!("@{key}")),
            }
        }
        let remedy = "check that it is a .ts file as the UCR and UEA archives have them";
        Err(fault(lines.place(), "the file ends without a line @data", remedy).into())
    }
}

/// The value of a header line that says true or false.
fn flag(key: &str, value: &str, place: &Place) -> Result<bool, Fault> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(fault(place, format!("@{key} is {}", quoted(value)), "write true or false behind it")),
    }
}

/// The value of a header line that is a number from 1.
fn count(key: &str, value: &str, place: &Place) -> Result<usize, Fault> {
    let number = value.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| fault(place, format!("@{key} is {}", quoted(value)), "write a whole number from 1 behind it"))
}

/// Reads recordings from the lines behind `@data`.
pub(super) struct Ts {
    lines: Lines,
    header: Header,
    task: SeriesTask,
    missing: Missing,
    wanted: Vec<String>,
    /// The channels that are kept, by their places in a line; known from the first recording on.
    kept: Vec<usize>,
    /// The number of channels of a line, likewise.
    channels: usize,
    /// The values of each channel of the current line.
    columns: Vec<Vec<f32>>,
}

impl Ts {
    pub(super) fn open(lines: Lines, reading: &SeriesReading) -> Result<Self> {
        let mut lines = lines.with_lines_of(LONGEST_LINE);
        lines.checked_head()?;
        let header = Header::read(&mut lines)?;
        let refuse = |problem: &str, remedy: &str| Err(fault(lines.place(), problem, remedy).into());
        match (reading.task, &header.label) {
            (SeriesTask::Tag | SeriesTask::RegressEach, _) => {
                return refuse(
                    "a .ts file has one label a series, and none for each step",
                    "write CSV with a row a time step",
                );
            }
            (SeriesTask::Classify | SeriesTask::Regress, LabelKind::None) => {
                return refuse(
                    "the series have no labels (@classLabel false)",
                    "name a file that has, or learn with --task forecast",
                );
            }
            (SeriesTask::Classify, LabelKind::Number) => {
                return refuse("the labels are numbers (@targetLabel true)", "learn them with --task regress");
            }
            _ => {}
        }
        let SeriesReading { task, missing, columns, .. } = reading;
        let (task, missing, wanted) = (*task, *missing, columns.channels.clone());
        Ok(Self { lines, header, task, missing, wanted, kept: Vec::new(), channels: 0, columns: Vec::new() })
    }

    /// Takes the current line apart, which stands at `place`.
    fn recording(&mut self, answers: &mut Answers, place: Place) -> Result<Recording> {
        let line = self.lines.line()?.trim();
        let mut channels = divided(line, ':', self.header.time_stamps);
        let label = match (&self.header.label, self.task) {
            (LabelKind::None, _) => None,
            _ => channels.pop(),
        };
        check_channels(&self.header, &mut self.channels, channels.len(), &place)?;
        if self.kept.is_empty() {
            self.kept = chosen(&numbered(self.channels), &self.wanted, &place.path.display().to_string())?;
        }
        self.columns.resize_with(self.channels, Vec::new);
        for (channel, (text, values)) in channels.iter().zip(&mut self.columns).enumerate() {
            values.clear();
            for (step, cell) in divided(text, ',', self.header.time_stamps).into_iter().enumerate() {
                let at = || format!("channel {}, step {}", channel + 1, step + 1);
                let cell = if self.header.time_stamps { stamped(cell, &place, at)? } else { cell };
                values.push(Cell::of(cell).value(cell, self.missing, || place.to_string(), at)?);
            }
        }
        check_steps(&self.header, &self.columns, &place)?;
        let steps = self.columns[0].len();
        let mut values = Vec::with_capacity(steps * self.kept.len());
        for step in 0..steps {
            values.extend(self.kept.iter().map(|&channel| self.columns[channel][step]));
        }
        let target = match label {
            Some(label) if self.task != SeriesTask::Forecast => {
                check_class(&self.header.label, label, &place)?;
                answers.whole(&[label], &place)?
            }
            _ => Target::None,
        };
        Ok(Recording { id: None, values, target, place })
    }
}

/// Checks that a class is one that the header names.
fn check_class(kind: &LabelKind, label: &str, place: &Place) -> Result<(), Fault> {
    match kind {
        LabelKind::Class(classes) if !classes.is_empty() && !classes.iter().any(|class| class == label.trim()) => {
            let problem =
                format!("the label {} is none of those that @classLabel names ({})", quoted(label), list(classes));
            Err(fault(place, problem, "correct it, or add it to @classLabel"))
        }
        _ => Ok(()),
    }
}

/// Checks the number of channels of a line against the header and the lines before it.
fn check_channels(header: &Header, known: &mut usize, count: usize, place: &Place) -> Result<(), Fault> {
    if count == 0 {
        let labelled = !matches!(header.label, LabelKind::None);
        let remedy = "write its values and then : and its label; @classLabel false says that there is no label";
        return Err(match labelled {
            true => fault(place, "the line has no : between values and a label", remedy),
            false => fault(place, "the line has no values", "write them, or remove the line"),
        });
    }
    let said = header.channels.unwrap_or(if *known == 0 { count } else { *known });
    if count != said {
        let as_said = match header.channels {
            Some(_) => format!("the header says {said}"),
            None => format!("the first series has {said}"),
        };
        let problem = format!("the number of channels is {count} where {as_said}");
        return Err(fault(place, problem, "separate channels by : and correct the line or the header"));
    }
    *known = count;
    Ok(())
}

/// Checks that all channels of a recording have as many values as the first, and as the header says.
fn check_steps(header: &Header, columns: &[Vec<f32>], place: &Place) -> Result<(), Fault> {
    let steps = columns[0].len();
    if let Some(other) = columns.iter().position(|column| column.len() != steps) {
        let problem = format!(
            "channel 1 has {steps} values and channel {} has {}: a frame needs a value of each channel",
            other + 1,
            columns[other].len()
        );
        return Err(fault(place, problem, "sample all channels alike, and write ? where a value is missing"));
    }
    match header.steps {
        Some(said) if said != steps => {
            let problem = format!("the series has {steps} steps where @seriesLength says {said}");
            Err(fault(place, problem, "correct the line, or write @equalLength false"))
        }
        _ => Ok(()),
    }
}

/// The parts of `text` between separators; those within brackets do not count where values have `stamps`.
fn divided(text: &str, separator: char, stamps: bool) -> Vec<&str> {
    if !stamps {
        return text.split(separator).collect();
    }
    let mut depth = 0;
    text.split(|character| {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        depth == 0 && character == separator
    })
    .collect()
}

/// The value of `(time,value)`.
fn stamped<'t>(cell: &'t str, place: &Place, at: impl FnOnce() -> String) -> Result<&'t str, Fault> {
    let inner = cell.trim().strip_prefix('(').and_then(|cell| cell.strip_suffix(')'));
    inner.and_then(|inner| inner.rsplit_once(',')).map(|(_, value)| value).ok_or_else(|| {
        let problem = format!("{} is {}, and @timeStamps true promises (time,value)", at(), quoted(cell.trim()));
        fault(place, problem, "write it so, or write @timeStamps false")
    })
}

impl Source for Ts {
    fn read(&mut self, answers: &mut Answers) -> Result<Option<Recording>> {
        if !self.lines.advance_to_text()? {
            return Ok(None);
        }
        let place = self.lines.place();
        self.recording(answers, place).map(Some)
    }

    fn channels(&self) -> Vec<String> {
        let names = numbered(self.channels);
        self.kept.iter().map(|&channel| names[channel].clone()).collect()
    }

    fn layout(&self) -> Vec<String> {
        let stamps = self.header.time_stamps.then(|| "time stamps left out".to_owned());
        let ignored = &self.header.ignored;
        let ignored = (!ignored.is_empty()).then(|| format!("header lines {} ignored", list(ignored)));
        stamps.into_iter().chain(ignored).chain(self.lines.encoding()).collect()
    }
}

/// Writes recordings as a `.ts` file, compressed with gzip: all or nothing, and the same bytes for the same recordings. Each value is written so that
/// the same `f32` is read again; white space in the names of classes becomes `_`.
///
/// # Errors
/// As [`write_atomically`](crate::files::write_atomically); a [`Fault`] for a set with labels of steps or several numbers, which the format cannot have.
pub fn write_ts_gz(path: &Path, set: &SeriesSet) -> Result<()> {
    stage_ts_gz(path, set)?.keep()
}

/// [`write_ts_gz`] up to the point where the file gets its name.
///
/// # Errors
/// As [`write_ts_gz`].
pub fn stage_ts_gz(path: &Path, set: &SeriesSet) -> Result<Staged> {
    if set.task.each_step() || set.outputs.len() > 1 {
        let problem = "a .ts file has one label a series, and neither several nor one for each step";
        return Err(fault(path.display(), problem, "write CSV with a row a time step").into());
    }
    stage(path, |file| {
        // No name and no time of day go into the header of the gzip file.
        let mut out = BufWriter::with_capacity(1 << 16, GzEncoder::new(file, Compression::default()));
        write_to(&mut out, set)?;
        out.flush()?;
        out.get_mut().try_finish()?;
        Ok(())
    })
}

fn write_to(out: &mut impl Write, set: &SeriesSet) -> Result<()> {
    let channels = set.channels.len();
    let (shortest, longest) = set.lengths();
    let word = |class: &str| class.split_whitespace().collect::<Vec<_>>().join("_");
    let classes: Vec<String> = set.classes.iter().map(|class| word(class)).collect();
    writeln!(out, "@problemName {}", word(&set.name))?;
    writeln!(out, "@timeStamps false\n@missing false\n@univariate {}\n@dimensions {channels}", channels == 1)?;
    writeln!(out, "@equalLength {}", shortest == longest)?;
    if shortest == longest {
        writeln!(out, "@seriesLength {longest}")?;
    }
    match set.task {
        SeriesTask::Classify => writeln!(out, "@classLabel true {}", classes.join(" "))?,
        SeriesTask::Regress => writeln!(out, "@targetLabel true")?,
        _ => writeln!(out, "@classLabel false")?,
    }
    writeln!(out, "@data")?;
    for series in &set.series {
        for channel in 0..channels {
            if channel > 0 {
                write!(out, ":")?;
            }
            for (step, value) in series.frames.iter().skip(channel).step_by(channels).enumerate() {
                write!(out, "{}{value}", if step > 0 { "," } else { "" })?;
            }
        }
        match &series.target {
            Target::Class(class) => writeln!(out, ":{}", classes[*class as usize])?,
            Target::Values(values) => writeln!(out, ":{}", values[0])?,
            _ => writeln!(out)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
