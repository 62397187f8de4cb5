//! The tables: for the terminal, for a page of results, and one line of JSON a row.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::cell::Shape;
use super::roofline::{self, ACTIVATIONS, CACHES, LOAD, MULTIPLY_ADD};
use super::rounds::{AGAINST, Figure, Key, Rounds, STREAMS, TOGETHER};

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

/// All tables, in the order of a page.
pub fn tables(rounds: &Rounds) -> Vec<Table> {
    let mut tables = vec![times(rounds), ratios(rounds), own_ratios(rounds)];
    tables.extend(limits(rounds));
    tables.push(differences(rounds));
    tables.extend(caches(rounds));
    tables.retain(|table| table.rows.len() > 1);
    tables
}

fn key(peer: &str, precision: &str, shape: Shape) -> Key {
    Key { peer: peer.to_owned(), precision: precision.to_owned(), shape }
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

/// `median (smallest–largest; runs)`.
fn figure(figure: Option<Figure>) -> String {
    match figure {
        Some(Figure { median, min, max, n }) => format!("{} ({}–{}; {n})", number(median), number(min), number(max)),
        None => String::new(),
    }
}

/// A table with a column for each shape and a row for each peer that `keep` keeps.
fn by_shape(
    rounds: &Rounds,
    heading: &str,
    keep: impl Fn(&Key) -> bool,
    cell: impl Fn(&Key) -> String,
) -> Vec<Vec<String>> {
    let shapes = rounds.shapes();
    let heading = [heading.to_owned(), "precision".to_owned()].into_iter();
    let mut rows = vec![heading.chain(shapes.iter().map(Shape::to_string)).collect::<Vec<_>>()];
    for (peer, precision) in rounds.peers(keep) {
        let names = [peer.to_owned(), precision.to_owned()].into_iter();
        rows.push(names.chain(shapes.iter().map(|&shape| cell(&key(peer, precision, shape)))).collect());
    }
    rows
}

fn is_engine(key: &Key) -> bool {
    !roofline::is_limit(&key.peer)
}

fn times(rounds: &Rounds) -> Table {
    Table {
        title: "Nanoseconds a step".to_owned(),
        note: format!(
            "Inputs x units. Median over the rounds (smallest–largest; rounds). `-packed`: weights in the backend's own order, in memory that was \
             handed to it. `{TOGETHER}…`: {STREAMS} streams that step together, the time of all."
        ),
        rows: by_shape(rounds, "engine", is_engine, |key| figure(rounds.ns(key))),
    }
}

fn ratios(rounds: &Rounds) -> Table {
    let against = |shape| key(AGAINST, "f32", shape);
    Table {
        title: format!("How many times as fast as {AGAINST} in f32"),
        note: "Each ratio is of two figures of the same round; median over the rounds (smallest–largest; rounds)."
            .to_owned(),
        rows: by_shape(
            rounds,
            "engine",
            |key| {
                let measured = rounds.ns(&against(key.shape)).is_some();
                measured && is_engine(key) && key.peer != AGAINST && !key.peer.starts_with(TOGETHER)
            },
            |key| figure(rounds.combine([&against(key.shape), key], |[against, own]| against / own)),
        ),
    }
}

/// What our precisions, streams that step together, and the strictest peer are to each other.
fn own_ratios(rounds: &Rounds) -> Table {
    type Pair = fn(&Rounds, Shape) -> Option<(&Key, &Key, f64)>;
    let lines: [(&str, Pair); 5] = [
        ("int8, times as fast as f32", |rounds, shape| {
            Some((rounds.fastest_of_ours("f32", shape)?, rounds.fastest_of_ours("int8", shape)?, 1.0))
        }),
        ("f16, times as fast as f32", |rounds, shape| {
            Some((rounds.fastest_of_ours("f32", shape)?, rounds.fastest_of_ours("f16", shape)?, 1.0))
        }),
        ("f32, times as fast as RTNeural", |rounds, shape| {
            let peer = rounds.keys().iter().find(|key| key.peer == "rtneural-eigen" && key.shape == shape)?;
            Some((peer, rounds.fastest_of_ours("f32", shape)?, 1.0))
        }),
        ("8 f32 streams together, part of 8 single steps", |rounds, shape| {
            let together = rounds.fastest_of(TOGETHER, "f32", shape)?;
            Some((together, rounds.fastest_of_ours("f32", shape)?, 1.0 / STREAMS as f64))
        }),
        ("8 int8 streams together, part of 8 single steps", |rounds, shape| {
            let together = rounds.fastest_of(TOGETHER, "int8", shape)?;
            Some((together, rounds.fastest_of_ours("int8", shape)?, 1.0 / STREAMS as f64))
        }),
    ];
    let shapes = rounds.shapes();
    let mut rows = vec![
        std::iter::once("our fastest backend".to_owned())
            .chain(shapes.iter().map(Shape::to_string))
            .collect::<Vec<_>>(),
    ];
    for (name, pair) in lines {
        let ratio = |&shape: &Shape| {
            let (one, other, factor) = pair(rounds, shape)?;
            rounds.combine([one, other], |[one, other]| factor * one / other)
        };
        let cells: Vec<Option<Figure>> = shapes.iter().map(ratio).collect();
        if cells.iter().any(Option::is_some) {
            rows.push(std::iter::once(name.to_owned()).chain(cells.into_iter().map(figure)).collect());
        }
    }
    Table {
        title: "Among ourselves".to_owned(),
        note: "Each ratio is of two figures of the same round; median over the rounds (smallest–largest; rounds)."
            .to_owned(),
        rows,
    }
}

fn limits(rounds: &Rounds) -> Option<Table> {
    let heading = [
        "size",
        "precision",
        "weights, KiB",
        "their load, ns",
        "GB/s",
        "multiply-adds, ns",
        "bound, ns",
        "activations, ns",
        "ours",
        "measured, ns",
        "bound / measured",
        "(bound + activations) / measured",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let median = |figure: Option<Figure>| figure.map(|figure| figure.median);
    let percent = |share: Option<Figure>| match share {
        Some(Figure { median, min, max, .. }) => {
            format!("{:.0} % ({:.0}–{:.0})", 100.0 * median, 100.0 * min, 100.0 * max)
        }
        None => String::new(),
    };
    for precision in roofline::PRECISIONS {
        for shape in rounds.shapes() {
            let Some(own) = rounds.fastest_of_ours(precision, shape) else { continue };
            let limit = |name| key(name, precision, shape);
            let (load, product, activations) = (limit(LOAD), limit(MULTIPLY_ADD), limit(ACTIVATIONS));
            let bound = |[load, product]: [f64; 2]| f64::max(load, product);
            let (Some(load_ns), Some(product_ns), Some(bound_ns), Some(activation_ns), Some(own_ns)) = (
                median(rounds.ns(&load)),
                median(rounds.ns(&product)),
                median(rounds.combine([&load, &product], bound)),
                median(rounds.ns(&activations)),
                median(rounds.ns(own)),
            ) else {
                continue;
            };
            let bytes = roofline::bytes(precision, shape) as f64;
            let share = rounds.combine([&load, &product, own], |[load, product, own]| load.max(product) / own);
            let with_activations = rounds
                .combine([&load, &product, &activations, own], |[load, product, activations, own]| {
                    (load.max(product) + activations) / own
                });
            rows.push(vec![
                shape.to_string(),
                precision.to_owned(),
                number(bytes / 1024.0),
                number(load_ns),
                number(bytes / load_ns),
                number(product_ns),
                number(bound_ns),
                number(activation_ns),
                own.peer.clone(),
                number(own_ns),
                percent(share),
                percent(with_activations),
            ]);
        }
    }
    Some(Table {
        title: "Roofline".to_owned(),
        note: "The bound is the larger of two times: loading the bytes that a step reads of weights, biases and multipliers, from where they lie \
               after the step before; and its multiply-adds at the processor's peak. Activations are three sigmoids and two hyperbolic tangents a unit, \
               by themselves. All measured in the rounds above. Shares are of figures of the same round: median (smallest–largest). A share above 100 %: every \
               second step reads the weights from the last to the first, and finds some in a nearer cache than the bound's reading, always in one direction, does."
            .to_owned(),
        rows,
    })
}

fn differences(rounds: &Rounds) -> Table {
    let largest = |key: &Key| rounds.difference(key).map_or(String::new(), |difference| format!("{difference:.0e}"));
    Table {
        title: "Agreement".to_owned(),
        note: "The largest difference of the hidden state after 16 steps from the answer in f64.".to_owned(),
        rows: by_shape(rounds, "engine", is_engine, largest),
    }
}

fn caches(rounds: &Rounds) -> Option<Table> {
    let mut rows = vec![["cache", "GB/s"].map(str::to_owned).to_vec()];
    for (name, level) in CACHES {
        let key = key(name, "KiB", Shape { inputs: 0, units: 0 });
        let speed = rounds.combine([&key], |[ns]| 1024.0 / ns);
        if speed.is_some() {
            rows.push(vec![format!("L{level}"), figure(speed)]);
        }
    }
    Some(Table {
        title: "Load bandwidth".to_owned(),
        note: "Reading a block of half the cache's size, of the last cache 8 MiB at most.".to_owned(),
        rows,
    })
}

/// One line of JSON a row.
///
/// # Errors
/// None in practice.
pub fn json(rounds: &Rounds) -> Result<String> {
    #[derive(Serialize)]
    struct Line<'a> {
        peer: &'a str,
        precision: &'a str,
        i: usize,
        h: usize,
        ns: f64,
        min: f64,
        max: f64,
        n: usize,
    }
    let mut text = String::new();
    for key in rounds.keys() {
        let Some(Figure { median, min, max, n }) = rounds.ns(key) else { continue };
        let Shape { inputs: i, units: h } = key.shape;
        // Picoseconds are enough.
        let [ns, min, max] = [median, min, max].map(|ns| (ns * 1e3).round() / 1e3);
        let line = Line { peer: &key.peer, precision: &key.precision, i, h, ns, min, max, n };
        writeln!(text, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(text)
}

/// The same as CSV.
pub fn csv(rounds: &Rounds) -> String {
    let mut text = "peer,precision,i,h,ns,min,max,n\n".to_owned();
    for key in rounds.keys() {
        let Some(Figure { median, min, max, n }) = rounds.ns(key) else { continue };
        let Key { peer, precision, shape } = key;
        text.push_str(&format!(
            "{peer},{precision},{},{},{median:.1},{min:.1},{max:.1},{n}\n",
            shape.inputs, shape.units
        ));
    }
    text
}

/// What a page of results says besides its tables.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// `2026-11-23`.
    pub date: String,
    /// The processor.
    pub machine: String,
    /// The compiler.
    pub compiler: String,
    /// What was typed.
    pub command: String,
    /// What else belongs there, a paragraph each: versions, what was left out.
    pub notes: Vec<String>,
    /// The plot's file, beside the page.
    pub plot: String,
}

/// The page, in Markdown.
pub fn markdown(about: &About, rounds: &Rounds) -> String {
    let About { date, machine, compiler, command, notes, plot } = about;
    let mut text = format!(
        "# {date} · One LSTM step beside other engines\n\n{machine}. {compiler}.\n\n```sh\n{command}\n```\n\n\
         One step, batch 1, its state carried from step to step, on one core, every engine held to one thread. The same random weights \
         and inputs for all, and before every measurement a check that the hidden state after 16 steps is the right one. {} rounds, each of which \
         measures every engine at every size; a figure of a round is the median over batches of at least 2,000 calls, or of 120 ms and 200 calls for the \
         slowest. Ours goes through a session, from the token's id to the new state.\n\n",
        rounds.len()
    );
    for note in notes {
        text.push_str(&format!("{note}\n\n"));
    }
    text.push_str(&format!("![Nanoseconds a step by size]({plot})\n"));
    for table in tables(rounds) {
        text.push_str(&format!("\n{}", table.markdown()));
    }
    text
}

/// What a program prints, without its end of line.
///
/// # Errors
/// Names the program when it cannot be started.
pub fn said(program: &str, arguments: &[&str]) -> Result<String> {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The processor's name and number of cores, and which of the instructions that matter here it has.
pub fn machine() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        told.lines().find_map(|line| line.strip_prefix(name)?.split_once(':')).map(|(_, value)| value.trim())
    };
    let model = field("model name").unwrap_or(std::env::consts::ARCH);
    let flags = field("flags").unwrap_or_default();
    let features: Vec<&str> = flags
        .split(' ')
        .filter(|flag| ["avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni"].contains(flag))
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{model}, {cores} cores, {} ({})", std::env::consts::OS, features.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::rounds::Row;
    use crate::peers::rounds::tests::row;

    /// Two rounds, the second on a machine that is half as fast.
    fn rounds() -> Result<Rounds> {
        let mut rounds = Rounds::default();
        for drift in [1.0, 2.0] {
            let limit = |name, ns: f64| Row { difference: None, ..row(name, "f32", 64, ns * drift) };
            let mut cache = limit("load-L1", 4.0);
            cache.key = key("load-L1", "KiB", Shape { inputs: 0, units: 0 });
            rounds.push([
                row("latch-scalar", "f32", 64, 16_000.0 * drift),
                row("latch-avx2", "f32", 64, 2_000.0 * drift),
                row("tract", "f32", 64, 8_000.0 * drift),
                limit("load", 1_000.0),
                limit("multiply-add", 400.0),
                limit("activations", 150.0),
                cache,
            ])?;
        }
        Ok(rounds)
    }

    #[test]
    fn the_page_has_every_figure_with_its_range_and_number() -> Result<()> {
        let about = About {
            date: "2026-01-31".to_owned(),
            machine: "A machine".to_owned(),
            compiler: "rustc 1.95".to_owned(),
            command: "cargo xtask peers".to_owned(),
            notes: vec!["Without Python.".to_owned()],
            plot: "peers.svg".to_owned(),
        };
        insta::assert_snapshot!(markdown(&about, &rounds()?));
        Ok(())
    }

    #[test]
    fn json_has_a_line_a_row() -> Result<()> {
        let json = json(&rounds()?)?;
        assert_eq!(json.lines().count(), 7);
        assert_eq!(
            json.lines().nth(2),
            Some(r#"{"peer":"tract","precision":"f32","i":64,"h":64,"ns":12000.0,"min":8000.0,"max":16000.0,"n":2}"#)
        );
        Ok(())
    }

    #[test]
    fn numbers_have_three_digits_and_thousands_apart() {
        let numbers = [0.5, 9.876, 54.321, 987.6, 1234.4, 1_234_567.0].map(number);
        assert_eq!(numbers, ["0.50", "9.88", "54.3", "988", "1,234", "1,234,567"]);
    }
}
