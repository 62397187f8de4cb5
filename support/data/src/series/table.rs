//! Tables with a row a time step, and tables with a row a series.

use std::collections::HashMap;

use anyhow::Result;

use super::columns::{Shape, Table};
use super::rows::{Numbers, Row, Rows};
use super::source::{Answers, Recording, Source};
use super::values::check_memory;
use super::{SeriesReading, SeriesTask, Target};
use crate::dataset::quoted;
use crate::error::{Fault, fault};

/// Opens a table: how it is laid out is told from its first rows.
pub(super) fn open(rows: Rows, reading: &SeriesReading, place: &str) -> Result<Box<dyn Source>> {
    let mut rows = rows;
    let table = Table::of(&rows, reading, place)?;
    let count = table.names.len();
    if table.header {
        rows.next()?;
    }
    let numbers = Numbers::new(reading.missing, rows.commas());
    let parts = Parts { rows, table, count, numbers, task: reading.task };
    Ok(match parts.table.shape {
        Shape::Long { .. } => Box::new(Long { parts, next: None, ended: HashMap::new() }),
        Shape::Wide { .. } => Box::new(Wide { parts }),
    })
}

/// What both have.
struct Parts {
    rows: Rows,
    table: Table,
    /// The cells of a row.
    count: usize,
    numbers: Numbers,
    task: SeriesTask,
}

impl Parts {
    /// The next row, with as many cells as there are columns.
    fn next(&mut self) -> Result<Option<Row>> {
        let Some(row) = self.rows.next()? else { return Ok(None) };
        self.rows.check(&row, self.count)?;
        Ok(Some(row))
    }

    /// Adds the values of a row in these columns.
    fn values(&mut self, (number, cells): &Row, columns: &[usize], values: &mut Vec<f32>) -> Result<(), Fault> {
        let place = self.rows.place(*number);
        check_memory((values.len() + columns.len()) as u64, &place)?;
        for &at in columns {
            values.push(self.numbers.value(&cells[at], &place, || self.table.column(at))?);
        }
        Ok(())
    }

    fn names(&self, columns: &[usize]) -> Vec<String> {
        columns.iter().map(|&at| self.table.names[at].clone()).collect()
    }

    fn layout(&self) -> Vec<String> {
        self.table.layout().into_iter().chain(self.rows.layout()).chain(self.numbers.layout()).collect()
    }
}

/// A row a time step.
struct Long {
    parts: Parts,
    /// The first row of the next series.
    next: Option<Row>,
    /// The series that have ended, with the lines of their first rows.
    ended: HashMap<String, u64>,
}

/// A series that is being read.
struct Open {
    first: Row,
    values: Vec<f32>,
    target: Target,
    /// The last value of the time column.
    time: Option<f64>,
}

impl Long {
    fn recording(&mut self, answers: &mut Answers) -> Result<Option<Recording>> {
        let Shape::Long { series, labels, time, channels, .. } = self.parts.table.shape.clone() else {
            return Ok(None);
        };
        let first = match self.next.take() {
            Some(row) => row,
            None => match self.parts.next()? {
                Some(row) => row,
                None => return Ok(None),
            },
        };
        let target = self.first_target(&first, &labels, answers)?;
        let mut open = Open { first: first.clone(), values: Vec::new(), target, time: None };
        let mut row = first;
        loop {
            self.take(&row, &mut open, &labels, time, &channels, answers)?;
            let Some(next) = self.parts.next()? else { break };
            if let Some(series) = series
                && next.1[series] != open.first.1[series]
            {
                self.check_new(&next, series, &open)?;
                self.next = Some(next);
                break;
            }
            row = next;
        }
        let id = series.map(|series| open.first.1[series].clone());
        let place = self.parts.rows.place(open.first.0);
        Ok(Some(Recording { id, values: open.values, target: open.target, place }))
    }

    /// The target of a series that begins with this row: of the whole, or without a step so far.
    fn first_target(&self, row: &Row, labels: &[usize], answers: &mut Answers) -> Result<Target> {
        let words: Vec<&str> = labels.iter().map(|&at| row.1[at].as_str()).collect();
        Ok(match self.parts.task {
            SeriesTask::Tag => Target::Classes(Vec::new()),
            SeriesTask::RegressEach => Target::EachValues(Vec::new()),
            _ => answers.whole(&words, &self.parts.rows.place(row.0))?,
        })
    }

    /// Adds a row to its series.
    fn take(
        &mut self,
        row: &Row,
        open: &mut Open,
        labels: &[usize],
        time: Option<usize>,
        channels: &[usize],
        answers: &mut Answers,
    ) -> Result<(), Fault> {
        self.parts.values(row, channels, &mut open.values)?;
        let place = self.parts.rows.place(row.0);
        if let Some(at) = time {
            let now = row.1[at].parse::<f64>().ok();
            if let (Some(before), Some(now)) = (open.time, now)
                && now < before
            {
                let problem = format!("the time goes back from {before} to {now} in {}", self.parts.table.column(at));
                return Err(fault(
                    place,
                    problem,
                    "sort the rows of each series by time, or say with --series-column where another one begins",
                ));
            }
            open.time = now.or(open.time);
        }
        match &mut open.target {
            Target::Classes(classes) => {
                let class = answers.number(&row.1[labels[0]], &place)?;
                classes.push(class as u32);
            }
            Target::EachValues(values) => {
                for &at in labels {
                    values.push(answers.number(&row.1[at], &place)?);
                }
            }
            _ => {
                let is_read = answers.coder.is_some();
                if let Some(&at) = labels.iter().find(|&&at| is_read && row.1[at] != open.first.1[at]) {
                    let (task, remedy) = match self.parts.task.has_classes() {
                        true => ("tag", "or say with --series-column which rows are one series"),
                        false => ("regress-each", "or say with --series-column which rows are one series"),
                    };
                    let problem = format!(
                        "the label changes from {} to {} within a series, which begins in line {}",
                        quoted(&open.first.1[at]),
                        quoted(&row.1[at]),
                        open.first.0
                    );
                    return Err(fault(
                        place,
                        problem,
                        format!("learn a label for each step with --task {task}, {remedy}"),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that a series that begins has not been there before.
    fn check_new(&mut self, row: &Row, series: usize, open: &Open) -> Result<(), Fault> {
        self.ended.insert(open.first.1[series].clone(), open.first.0);
        match self.ended.get(&row.1[series]) {
            Some(line) => {
                let problem = format!(
                    "the series {} comes again: its rows from line {line} on have ended, and others stood between",
                    quoted(&row.1[series])
                );
                Err(fault(
                    self.parts.rows.place(row.0),
                    problem,
                    "put the rows of a series together, or give two series two names",
                ))
            }
            None => Ok(()),
        }
    }
}

impl Source for Long {
    fn read(&mut self, answers: &mut Answers) -> Result<Option<Recording>> {
        self.recording(answers)
    }

    fn channels(&self) -> Vec<String> {
        match &self.parts.table.shape {
            Shape::Long { channels, .. } => self.parts.names(channels),
            Shape::Wide { .. } => Vec::new(),
        }
    }

    fn outputs(&self) -> Vec<String> {
        match &self.parts.table.shape {
            Shape::Long { labels, .. } => self.parts.names(labels),
            Shape::Wide { .. } => Vec::new(),
        }
    }

    fn layout(&self) -> Vec<String> {
        self.parts.layout()
    }
}

/// A row a series of one channel. Empty cells behind the last value of a row are no values: a shorter series.
struct Wide {
    parts: Parts,
}

impl Source for Wide {
    fn read(&mut self, answers: &mut Answers) -> Result<Option<Recording>> {
        let Shape::Wide { series, labels, values: columns } = self.parts.table.shape.clone() else { return Ok(None) };
        let Some(row) = self.parts.next()? else { return Ok(None) };
        let place = self.parts.rows.place(row.0);
        let filled = columns.iter().rposition(|&at| !row.1[at].is_empty()).map_or(0, |last| last + 1);
        if filled == 0 {
            return Err(fault(place, "the row has no value", "write its values, or remove it").into());
        }
        let mut values = Vec::with_capacity(filled);
        self.parts.values(&row, &columns[..filled], &mut values)?;
        let words: Vec<&str> = labels.iter().map(|&at| row.1[at].as_str()).collect();
        let target = answers.whole(&words, &place)?;
        Ok(Some(Recording { id: series.map(|at| row.1[at].clone()), values, target, place }))
    }

    fn channels(&self) -> Vec<String> {
        vec!["1".to_owned()]
    }

    fn outputs(&self) -> Vec<String> {
        match &self.parts.table.shape {
            Shape::Wide { labels, .. } => self.parts.names(labels),
            Shape::Long { .. } => Vec::new(),
        }
    }

    fn layout(&self) -> Vec<String> {
        self.parts.layout()
    }
}

#[cfg(test)]
mod tests;
