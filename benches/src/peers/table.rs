//! What the tables of a page are made of: titles, notes, rows of cells, and figures as text.

use super::cell::{Kind, Shape};
use super::rounds::{Figure, Key, Rounds};

/// A table: the first row is its heading.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// What one must know to read it.
    pub note: String,
    /// Cells, row by row.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// In Markdown, under a heading.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        if !self.note.is_empty() {
            text.push_str(&format!("{}\n\n", self.note));
        }
        for (number, row) in self.rows.iter().enumerate() {
            text.push_str(&format!("| {} |\n", row.join(" | ")));
            if number == 0 {
                text.push_str(&format!("|{}\n", " --- |".repeat(row.len())));
            }
        }
        text
    }

    /// For a terminal.
    pub fn plain(&self) -> String {
        let note = if self.note.is_empty() { String::new() } else { format!("{}\n", self.note) };
        format!("{}\n{note}\n{}", self.title, latch_trainer::report::table(&self.rows))
    }
}

/// What is measured of a cell, by name.
pub(super) fn key(peer: &str, cell: Kind, precision: &str, shape: Shape) -> Key {
    Key { peer: peer.to_owned(), cell: Some(cell), precision: precision.to_owned(), shape }
}

/// Three digits, and thousands apart.
pub fn number(value: f64) -> String {
    let digits = if value < 10.0 {
        format!("{value:.2}")
    } else if value < 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    if value < 1000.0 {
        return digits;
    }
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

/// `median (smallest–largest; rounds)`.
pub(super) fn figure(figure: Option<Figure>) -> String {
    match figure {
        Some(Figure { median, min, max, n }) => format!("{} ({}–{}; {n})", number(median), number(min), number(max)),
        None => String::new(),
    }
}

/// The largest difference of a hidden state from the answer.
pub(super) fn difference(rounds: &Rounds, key: &Key) -> String {
    rounds.difference(key).map_or(String::new(), |difference| format!("{difference:.0e}"))
}

/// The heading of a table with a column for each shape: the names of the columns before them, and the shapes.
pub(super) fn heading(names: &[&str], shapes: &[Shape]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).chain(shapes.iter().map(Shape::to_string)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_thousands_apart() {
        let numbers = [0.5, 9.876, 54.321, 987.6, 1234.4, 1_234_567.0].map(number);
        assert_eq!(numbers, ["0.50", "9.88", "54.3", "988", "1,234", "1,234,567"]);
    }
}
