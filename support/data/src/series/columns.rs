//! How a table of series is laid out, told from its names and its first rows: a row a time step (long) or a row a series (wide), whether it has a
//! header, and which columns hold the series, the label, the time and the channels.

use super::rows::Rows;
use super::values::{Cell, is_decimal_comma};
use super::{MAX_CHANNELS, SeriesReading, SeriesTask};
use crate::dataset::quoted;
use crate::dataset::table::TEXT_NAMES;
use crate::error::{Fault, fault};

/// Names of the column that says to which series a row belongs.
pub(super) const SERIES_NAMES: [&str; 14] = [
    "series",
    "id",
    "series_id",
    "seriesid",
    "series id",
    "recording",
    "recording_id",
    "case",
    "case_id",
    "sequence",
    "sequence_id",
    "trial",
    "segment",
    "uid",
];

/// Names of the column of the time.
const TIME_NAMES: [&str; 20] = [
    "time",
    "t",
    "timestamp",
    "timestamps",
    "date",
    "datetime",
    "month",
    "quarter",
    "year",
    "week",
    "day",
    "hour",
    "step",
    "timestep",
    "index",
    "idx",
    "frame",
    "seconds",
    "ms",
    "when",
];

/// What such names begin with besides: `time_step`, `datetime_gmt`.
const TIME_STARTS: [&str; 3] = ["time_", "date_", "datetime"];

/// Names of the column of labels.
const LABEL_NAMES: [&str; 8] = ["label", "labels", "class", "target", "activity", "category", "tag", "tags"];

/// Names of columns that number the rows.
const NUMBERING: [&str; 2] = ["", "unnamed: 0"];

/// A table by its columns, from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// What each column is called: its name, or its number from 1.
    pub(super) names: Vec<String>,
    pub(super) header: bool,
    pub(super) shape: Shape,
}

/// What a row is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// A time step.
    Long { series: Option<usize>, labels: Vec<usize>, time: Option<usize>, channels: Vec<usize>, ignored: Vec<usize> },
    /// A series of one channel.
    Wide { series: Option<usize>, labels: Vec<usize>, values: Vec<usize> },
}

impl Table {
    /// A column in a message: `column 3 (ax)`.
    pub(super) fn column(&self, at: usize) -> String {
        if self.header { format!("column {} ({})", at + 1, self.names[at]) } else { format!("column {}", at + 1) }
    }

    fn listed(&self, columns: &[usize]) -> String {
        let names: Vec<&str> = columns.iter().map(|&at| self.names[at].as_str()).collect();
        crate::dataset::list(&names)
    }

    /// What was found, in words.
    pub(super) fn layout(&self) -> Vec<String> {
        let one = |what: &str, column: &Option<usize>| column.map(|at| format!("{what} {}", self.names[at]));
        let labels =
            |labels: &Vec<usize>| (!labels.is_empty()).then(|| format!("label column {}", self.listed(labels)));
        let header = (!self.header).then(|| "no header".to_owned());
        let words = match &self.shape {
            Shape::Long { series, labels: label, time, channels, ignored } => {
                let (plural, few) = if channels.len() == 1 { ("channel", "column") } else { ("channels", "columns") };
                vec![
                    Some("a row a time step".to_owned()),
                    one("series column", series),
                    labels(label),
                    one("time column", time),
                    Some(format!("{plural} in {few} {}", self.listed(channels))),
                    (!ignored.is_empty()).then(|| format!("ignored {}", self.listed(ignored))),
                    header,
                ]
            }
            Shape::Wide { series, labels: label, values } => {
                let range = format!("{} to {}", self.names[values[0]], self.names[values[values.len() - 1]]);
                vec![
                    Some("a row a series".to_owned()),
                    one("series column", series),
                    labels(label),
                    Some(format!("values in columns {range}")),
                    header,
                ]
            }
        };
        words.into_iter().flatten().collect()
    }

    /// The layout of a table called `place`.
    ///
    /// # Errors
    /// A fault that lists the columns where it is not clear which one is meant, or where one that was named is not there.
    pub(super) fn of(rows: &Rows, reading: &SeriesReading, place: &str) -> Result<Self, Fault> {
        Look::new(rows, place)?.table(reading)
    }
}

/// What the first rows show.
struct Look<'r> {
    first: &'r [String],
    body: Vec<&'r [String]>,
    header: bool,
    /// Of each column, whether most of its cells are numbers.
    numeric: Vec<bool>,
    place: &'r str,
}

impl<'r> Look<'r> {
    fn new(rows: &'r Rows, place: &'r str) -> Result<Self, Fault> {
        let rows: Vec<&[String]> = rows.first().collect();
        let Some((&first, rest)) = rows.split_first() else {
            return Err(fault(place, "there is no series in it", "name a file with recordings"));
        };
        let is_number = |cell: &str| {
            // A decimal comma is a number also where it is refused: so the cell is named.
            matches!(Cell::of(cell), Cell::Value(_) | Cell::Missing | Cell::TooLarge) || is_decimal_comma(cell)
        };
        let is_numeric = |rows: &[&[String]], column: usize| {
            let cells = || rows.iter().filter_map(|row| row.get(column));
            let numbers = cells().filter(|cell| is_number(cell)).count();
            numbers > 0 && 2 * numbers >= cells().count()
        };
        let columns = || 0..first.len();
        let below: Vec<bool> = columns().map(|column| is_numeric(rest, column)).collect();
        // Words above columns of numbers, or names in place of numbers, or a name that everybody uses.
        let words = columns().filter(|&column| below[column] && !is_number(&first[column])).count();
        let known =
            first.iter().any(|name| is_one_of(name, &LABEL_NAMES) || is_one_of(name, &SERIES_NAMES) || is_time(name));
        let numeric_columns = below.iter().filter(|&&numeric| numeric).count();
        // Numbers alone may count by chance, but hardly as far as that.
        let counts = is_counting(first) && !rest.iter().any(|row| is_counting(row));
        let counts = counts && (first.len() >= 8 || first.iter().any(|cell| !is_number(cell)));
        let header = if rest.is_empty() {
            !first.iter().any(|cell| is_number(cell) && !cell.is_empty())
        } else {
            words > 0 && 2 * words >= numeric_columns || known && !first.iter().any(|cell| cell.contains('.')) || counts
        };
        let body: Vec<&[String]> = if header { rest.to_vec() } else { rows };
        if body.is_empty() {
            return Err(fault(
                place,
                "there is no series in it: it has a header and no row",
                "name a file with recordings",
            ));
        }
        let numeric = columns().map(|column| is_numeric(&body, column)).collect();
        Ok(Self { first, body, header, numeric, place })
    }

    fn table(&self, reading: &SeriesReading) -> Result<Table, Fault> {
        let names = |(at, name): (usize, &String)| {
            if self.header && !name.is_empty() { name.clone() } else { (at + 1).to_string() }
        };
        let names: Vec<String> = self.first.iter().enumerate().map(names).collect();
        let columns = &reading.columns;
        let series = columns.series.as_deref().map(|name| self.column("--series-column", name)).transpose()?;
        let series = series.or_else(|| self.named(&SERIES_NAMES));
        let time = columns.time.as_deref().map(|name| self.column("--time-column", name)).transpose()?;
        let labels =
            columns.labels.iter().map(|name| self.column("--label-column", name)).collect::<Result<Vec<_>, _>>()?;
        let shape = if self.is_wide(reading, series, time) {
            self.wide(reading, series, labels)?
        } else {
            let time = time.or_else(|| self.time().filter(|&at| Some(at) != series));
            self.long(reading, series, time, labels)?
        };
        Ok(Table { names, header: self.header, shape })
    }

    /// The column that a word means: by its name, or by its number from 1.
    fn column(&self, option: &str, name: &str) -> Result<usize, Fault> {
        let name = name.trim();
        let same = |other: &String| self.header && other.eq_ignore_ascii_case(name);
        match (self.first.iter().position(same), self.first.iter().filter(|other| same(other)).count()) {
            (Some(at), 1) => return Ok(at),
            (Some(_), _) => {
                let problem = format!("{} has several columns {}", self.place, quoted(name));
                return Err(fault(option, problem, "give its number from 1"));
            }
            _ => {}
        }
        name.parse().ok().filter(|number| (1..=self.first.len()).contains(number)).map(|number| number - 1).ok_or_else(
            || {
                let problem =
                    format!("{} has no column {}; its columns are {}", self.place, quoted(name), self.listed());
                fault(option, problem, "name one of these, or give its number from 1")
            },
        )
    }

    /// The columns by number and name, or by what the first row has there.
    fn listed(&self) -> String {
        const SHOWN: usize = 8;
        let shown = |(at, name): (usize, &String)| format!("{} ({})", at + 1, quoted(name));
        let names: Vec<String> = self.first.iter().enumerate().take(SHOWN).map(shown).collect();
        names.join(", ") + if self.first.len() > SHOWN { ", …" } else { "" }
    }

    /// The only column with one of these names; the first name wins over the others.
    fn named(&self, names: &[&str]) -> Option<usize> {
        let at = |name: &&str| self.first.iter().position(|field| field.eq_ignore_ascii_case(name));
        if self.header { names.iter().find_map(at) } else { None }
    }

    /// The column of the time, by its name.
    fn time(&self) -> Option<usize> {
        let by_start = || self.first.iter().position(|name| is_time(name)).filter(|_| self.header);
        self.named(&TIME_NAMES).or_else(by_start)
    }

    /// Whether a row is a series: where the columns are counted rather than named, and nothing says that rows belong together.
    fn is_wide(&self, reading: &SeriesReading, series: Option<usize>, time: Option<usize>) -> bool {
        let columns = &reading.columns;
        if reading.task.each_step() || time.is_some() || columns.series.is_some() || !columns.channels.is_empty() {
            return false;
        }
        if reading.rows_are_steps == Some(true) {
            return false;
        }
        if !self.header {
            return self.first.len() > if reading.task == SeriesTask::Forecast { 2 } else { 1 };
        }
        let repeats = |at: usize| self.body.windows(2).any(|rows| rows[0].get(at) == rows[1].get(at));
        is_counting(self.first) && !series.is_some_and(repeats)
    }

    /// A row a time step.
    fn long(
        &self,
        reading: &SeriesReading,
        series: Option<usize>,
        time: Option<usize>,
        labels: Vec<usize>,
    ) -> Result<Shape, Fault> {
        let columns = &reading.columns;
        let channels =
            columns.channels.iter().map(|name| self.column("--channels", name)).collect::<Result<Vec<_>, _>>()?;
        if let Some(at) = (1..channels.len()).find(|&at| channels[..at].contains(&channels[at])) {
            let problem = format!("the channel {} is named twice", quoted(&columns.channels[at]));
            return Err(fault("--channels", problem, "name it once"));
        }
        let named_label = self.named(&LABEL_NAMES);
        let is_free = |at: &usize| {
            Some(*at) != series
                && Some(*at) != time
                && !labels.contains(at)
                && !channels.contains(at)
                && !(self.header && is_one_of(&self.first[*at], &NUMBERING))
        };
        let free: Vec<usize> = (0..self.first.len()).filter(is_free).collect();
        let words: Vec<usize> = free.iter().copied().filter(|&at| !self.numeric[at]).collect();
        let mut labels = labels;
        let mut time = time;
        if reading.task.labels().is_some() && labels.is_empty() {
            labels = match (named_label.filter(|at| free.contains(at)), &words[..]) {
                (Some(at), _) => vec![at],
                (None, &[at]) if reading.task.has_classes() => vec![at],
                _ => return Err(self.unclear("which column has the label", "--label-column")),
            };
        }
        if time.is_none() && self.header {
            // The first column of words that is no label.
            time = words.iter().copied().find(|at| !labels.contains(at) && *at == 0);
        }
        let is_channel =
            |at: &usize| self.numeric[*at] && !labels.contains(at) && Some(*at) != time && Some(*at) != named_label;
        let channels = if channels.is_empty() { free.into_iter().filter(is_channel).collect() } else { channels };
        if channels.is_empty() {
            return Err(self.unclear(
                "which columns have the channels: none but those of series, label and time has numbers",
                "--channels",
            ));
        }
        if channels.len() > MAX_CHANNELS {
            let problem =
                format!("{} has {} channels, and a network reads at most {MAX_CHANNELS}", self.place, channels.len());
            return Err(fault(
                "--channels",
                problem,
                "name those that matter; where each row is a series, number its columns in the header",
            ));
        }
        let used =
            |at: &usize| Some(*at) == series || Some(*at) == time || labels.contains(at) || channels.contains(at);
        let ignored = (0..self.first.len()).filter(|at| !used(at)).collect();
        Ok(Shape::Long { series, labels, time, channels, ignored })
    }

    /// A row a series.
    fn wide(&self, reading: &SeriesReading, series: Option<usize>, labels: Vec<usize>) -> Result<Shape, Fault> {
        let mut labels = labels;
        let named = self.named(&LABEL_NAMES);
        if reading.task.labels().is_some() && labels.is_empty() {
            labels = vec![named.or_else(|| self.label_at_an_end(reading.task, series)).ok_or_else(|| {
                self.unclear("whether the label stands in the first or in the last column", "--label-column")
            })?];
        }
        let beside = if labels.is_empty() { self.beside_the_count(series, named) } else { None };
        let is_value = |at: &usize| {
            !labels.contains(at)
                && Some(*at) != series
                && Some(*at) != named
                && Some(*at) != beside
                && !(self.header && is_one_of(&self.first[*at], &NUMBERING))
                && self.numeric[*at]
        };
        let values: Vec<usize> = (0..self.first.len()).filter(is_value).collect();
        if values.is_empty() {
            return Err(self.unclear("which columns have the values", "--label-column"));
        }
        Ok(Shape::Wide { series, labels, values })
    }

    /// The last column, where all others are counted and it is not: it is no step of a series, also where no label is asked for.
    fn beside_the_count(&self, series: Option<usize>, named: Option<usize>) -> Option<usize> {
        let last = self.first.len() - 1;
        let is_counted = |at: usize| {
            is_counted(self.first, at)
                || Some(at) == series
                || Some(at) == named
                || is_one_of(&self.first[at], &NUMBERING)
        };
        (self.header && !is_counted(last) && (0..last).all(is_counted)).then_some(last)
    }

    /// The column of classes, where the first or the last one has words, or alone has a few whole numbers that come again.
    fn label_at_an_end(&self, task: SeriesTask, series: Option<usize>) -> Option<usize> {
        let first = usize::from(series == Some(0));
        let ends = [first, self.first.len() - 1];
        let words: Vec<usize> = ends.into_iter().filter(|&at| !self.numeric[at]).collect();
        if let [at] = words[..] {
            return Some(at);
        }
        // Counted columns tell the label by its being not counted.
        if self.header && words.is_empty() {
            let uncounted: Vec<usize> = ends.into_iter().filter(|&at| !is_counted(self.first, at)).collect();
            if let [at] = uncounted[..] {
                return Some(at);
            }
        }
        let is_class = |at: &usize| {
            let mut values: Vec<&str> = self.body.iter().filter_map(|row| row.get(*at)).map(String::as_str).collect();
            let whole = values.iter().all(|cell| cell.parse::<f64>().is_ok_and(|value| value.fract() == 0.0));
            let count = values.len();
            values.sort_unstable();
            values.dedup();
            whole && (count == 1 || values.len() < count)
        };
        let classes: Vec<usize> = ends.into_iter().filter(is_class).collect();
        match classes[..] {
            [at] if task.has_classes() => Some(at),
            _ => None,
        }
    }

    fn unclear(&self, what: &str, option: &str) -> Fault {
        let problem = format!("it is not clear {what}; the columns are {}", self.listed());
        fault(self.place, problem, format!("say it with {option}, by name or by number from 1"))
    }
}

/// Whether the first rows are those of series and not of texts: numbers in several columns, or in one beside a time or a series, and no column of words.
pub(super) fn looks_like_series(rows: &Rows) -> bool {
    let Ok(look) = Look::new(rows, "") else { return false };
    let role = |at: usize| {
        let name = &look.first[at];
        look.header && (is_one_of(name, &SERIES_NAMES) || is_time(name))
    };
    let is_label = |at: usize| look.header && is_one_of(&look.first[at], &LABEL_NAMES);
    let columns = || 0..look.first.len();
    let words = |at: usize| {
        let cells: Vec<&String> = look.body.iter().filter_map(|row| row.get(at)).collect();
        let count: usize = cells.iter().map(|cell| cell.split_whitespace().count()).sum();
        let is_text = look.header && TEXT_NAMES.iter().any(|name| look.first[at].eq_ignore_ascii_case(name));
        is_text || 2 * count > 3 * cells.len()
    };
    let channels = columns().filter(|&at| look.numeric[at] && !role(at) && !is_label(at)).count();
    let others = columns().filter(|&at| !look.numeric[at] && !role(at) && !is_label(at));
    if others.clone().any(words) || others.count() > 2 {
        return false;
    }
    channels > 1 || channels == 1 && columns().any(role)
}

/// Whether a name is one of a column of the time.
fn is_time(name: &str) -> bool {
    let lower = name.trim().to_lowercase();
    is_one_of(name, &TIME_NAMES) || TIME_STARTS.iter().any(|start| lower.starts_with(start))
}

pub(super) fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.trim().eq_ignore_ascii_case(other))
}

/// What stands in front of the number that ends a name, and the number.
fn counted(name: &str) -> Option<(&str, usize)> {
    let stem = name.trim_end_matches(|character: char| character.is_ascii_digit());
    Some((stem, name[stem.len()..].parse().ok()?))
}

/// Whether the name of column `at` goes on counting from the one before it.
fn goes_on(names: &[String], at: usize) -> bool {
    let of = |at: usize| names.get(at).and_then(|name| counted(name));
    match (at.checked_sub(1).and_then(of), of(at)) {
        (Some((stem, number)), Some((other, next))) => stem == other && next == number + 1,
        _ => false,
    }
}

/// Whether a column's name goes on counting from the one before it, or is gone on from.
fn is_counted(names: &[String], at: usize) -> bool {
    goes_on(names, at) || goes_on(names, at + 1)
}

/// Whether a row is names that count from one to the next, but for three of them at most: `t0`, `t1`, `t2`, or `0`, `1`, `2`.
fn is_counting(names: &[String]) -> bool {
    let (mut run, mut longest) = (1, 1);
    for at in 1..names.len() {
        run = if goes_on(names, at) { run + 1 } else { 1 };
        longest = longest.max(run);
    }
    longest >= 3 && longest + 3 >= names.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_count_where_a_run_of_them_does() {
        let of = |names: &str| is_counting(&names.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(of("id label t0 t1 t2") && of("0 1 2 3 class") && of("x_8 x_9 x_10"));
        assert!(
            !of("ax ay az") && !of("0 1 0 1 0 1 0") && !of("t0 t1") && !of("ch1 ch2 a b c d") && !of("0.5 1.5 2.5")
        );
    }
}
