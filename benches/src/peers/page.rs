//! The tables: for the terminal, for a page of results, and one line of JSON a row.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::cell::{Kind, Shape};
use super::cells::{self, Against};
use super::roofline::{self, ACTIVATIONS, CACHES, LOAD, MULTIPLY_ADD};
use super::rounds::{AGAINST, Figure, Key, OURS, PACKED, RTNEURAL, Rounds, STREAMS, TOGETHER};
use super::table::{Table, difference, figure, heading, key, number};

/// All tables, in the order of a page.
pub fn tables(rounds: &Rounds) -> Vec<Table> {
    let mut tables = vec![times(rounds), ratios(rounds), own_ratios(rounds)];
    tables.extend(limits(rounds));
    tables.push(differences(rounds));
    tables.extend(caches(rounds));
    tables.extend(cells::tables(rounds));
    tables.retain(|table| table.rows.len() > 1);
    tables
}

/// The LSTM's key.
fn lstm(peer: &str, precision: &str, shape: Shape) -> Key {
    key(peer, Kind::Lstm, precision, shape)
}

/// A table of the LSTM with a column for each shape and a row for each engine that `keep` keeps.
fn by_shape(rounds: &Rounds, keep: impl Fn(&Key) -> bool, text: impl Fn(&Key) -> String) -> Vec<Vec<String>> {
    let shapes = rounds.shapes();
    let mut rows = vec![heading(&["engine", "precision"], &shapes)];
    for (peer, precision) in rounds.peers(|key| is_engine(key) && keep(key)) {
        let names = [peer.to_owned(), precision.to_owned()].into_iter();
        rows.push(names.chain(shapes.iter().map(|&shape| text(&lstm(peer, precision, shape)))).collect());
    }
    rows
}

/// True for an engine's LSTM.
fn is_engine(key: &Key) -> bool {
    key.cell == Some(Kind::Lstm) && !roofline::is_limit(&key.peer)
}

fn times(rounds: &Rounds) -> Table {
    Table {
        title: "LSTM: nanoseconds a step".to_owned(),
        note: format!(
            "Inputs x units. Median over the rounds (smallest–largest; rounds). `-packed`: weights in the backend's own order, in memory that was \
             handed to it. `{TOGETHER}…`: {STREAMS} streams that step together, the time of all. \
             `int4`: weights and inputs of four bits, which are taken apart in each step; packed they are as int8."
        ),
        rows: by_shape(rounds, |_| true, |key| figure(rounds.ns(key))),
    }
}

fn ratios(rounds: &Rounds) -> Table {
    let against = |shape| lstm(AGAINST, "f32", shape);
    Table {
        title: format!("How many times as fast as {AGAINST} in f32"),
        note: "Each ratio is of two figures of the same round; median over the rounds (smallest–largest; rounds)."
            .to_owned(),
        rows: by_shape(
            rounds,
            |key| {
                let measured = rounds.ns(&against(key.shape)).is_some();
                measured && key.peer != AGAINST && !key.peer.starts_with(TOGETHER)
            },
            |key| figure(rounds.combine([&against(key.shape), key], |[against, own]| against / own)),
        ),
    }
}

/// What our precisions, streams that step together, and the strictest peer are to each other.
fn own_ratios(rounds: &Rounds) -> Table {
    type Pair = fn(&Rounds, Shape) -> Option<(&Key, &Key, f64)>;
    let lines: [(&str, Pair); 6] = [
        ("int8, times as fast as f32", |rounds, shape| {
            Some((rounds.fastest_of_ours("f32", shape)?, rounds.fastest_of_ours("int8", shape)?, 1.0))
        }),
        ("f16, times as fast as f32", |rounds, shape| {
            Some((rounds.fastest_of_ours("f32", shape)?, rounds.fastest_of_ours("f16", shape)?, 1.0))
        }),
        ("int4, times as fast as int8, neither packed", |rounds, shape| {
            let as_it_lies = |peer: &str| peer.starts_with(OURS) && !peer.ends_with(PACKED);
            let fastest = |precision| rounds.fastest(precision, shape, as_it_lies);
            Some((fastest("int8")?, fastest("int4")?, 1.0))
        }),
        ("f32, times as fast as RTNeural", |rounds, shape| {
            Some((rounds.fastest("f32", shape, |peer| peer == RTNEURAL)?, rounds.fastest_of_ours("f32", shape)?, 1.0))
        }),
        ("8 f32 streams together, part of 8 single steps", |rounds, shape| {
            let together = rounds.fastest("f32", shape, |peer| peer.starts_with(TOGETHER))?;
            Some((together, rounds.fastest_of_ours("f32", shape)?, 1.0 / STREAMS as f64))
        }),
        ("8 int8 streams together, part of 8 single steps", |rounds, shape| {
            let together = rounds.fastest("int8", shape, |peer| peer.starts_with(TOGETHER))?;
            Some((together, rounds.fastest_of_ours("int8", shape)?, 1.0 / STREAMS as f64))
        }),
    ];
    let shapes = rounds.shapes();
    let mut rows = vec![heading(&["our fastest backend"], &shapes)];
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

/// Beside the bounds of a step, ours.
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
            let limit = |name| lstm(name, precision, shape);
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
    Table {
        title: "LSTM: agreement".to_owned(),
        note: "The largest difference of the hidden state after 16 steps from the answer in f64.".to_owned(),
        rows: by_shape(rounds, |_| true, |key| difference(rounds, key)),
    }
}

/// The key of reading 1 KiB from a cache.
fn cache(name: &str) -> Key {
    Key { cell: None, ..lstm(name, "KiB", Shape { inputs: 0, units: 0 }) }
}

fn caches(rounds: &Rounds) -> Option<Table> {
    let mut rows = vec![["cache", "GB/s"].map(str::to_owned).to_vec()];
    for (name, level) in CACHES {
        let key = cache(name);
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

/// A line of JSON: a time, or with `ratio` what it is of.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<&'static str>,
    peer: &'a str,
    cell: Option<&'static str>,
    precision: &'a str,
    i: usize,
    h: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ns: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    min: f64,
    max: f64,
    n: usize,
}

impl<'a> Line<'a> {
    fn new(key: &'a Key, ratio: Option<&'static str>, figure: Figure) -> Self {
        let Key { peer, cell, precision, shape: Shape { inputs: i, units: h } } = key;
        // Picoseconds are enough, and thousandths of a ratio.
        let [median, min, max] = [figure.median, figure.min, figure.max].map(|value| (value * 1e3).round() / 1e3);
        let (ns, value) = if ratio.is_none() { (Some(median), None) } else { (None, Some(median)) };
        let cell = cell.map(Kind::name);
        Line { ratio, peer, cell, precision, i: *i, h: *h, ns, value, min, max, n: figure.n }
    }
}

/// One line of JSON a row, and one a ratio of the other cells.
///
/// # Errors
/// None in practice.
pub fn json(rounds: &Rounds) -> Result<String> {
    let times = rounds.keys().iter().filter_map(|key| Some(Line::new(key, None, rounds.ns(key)?)));
    let others = || rounds.keys().iter().filter(|key| cells::is_shown(key));
    let ratios = Against::ALL.into_iter().flat_map(|against| {
        others().filter_map(move |key| Some(Line::new(key, Some(against.name()), against.ratio(rounds, key)?)))
    });
    let mut text = String::new();
    for line in times.chain(ratios) {
        writeln!(text, "{}", serde_json::to_string(&line)?)?;
    }
    Ok(text)
}

/// The same as CSV.
pub fn csv(rounds: &Rounds) -> String {
    let mut text = "peer,cell,precision,i,h,ns,min,max,n\n".to_owned();
    for key in rounds.keys() {
        let Some(Figure { median, min, max, n }) = rounds.ns(key) else { continue };
        let Key { peer, cell, precision, shape } = key;
        let cell = cell.map_or("", Kind::name);
        text.push_str(&format!(
            "{peer},{cell},{precision},{},{},{median:.1},{min:.1},{max:.1},{n}\n",
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
        "# {date} · One recurrent step beside other engines\n\n{machine}. {compiler}.\n\n```sh\n{command}\n```\n\n\
         One step, batch 1, its state carried from step to step, on one core, every engine held to one thread. The same random weights \
         and inputs for all, and before every measurement a check that the hidden state after 16 steps is the right one. {} rounds, each of which \
         measures every engine at every size; a figure of a round is the median over batches of at least 2,000 calls, or of 120 ms and 200 calls for the \
         slowest. Ours goes through a session, from the token's id to the new state. The last tables are of a GRU and a simple RNN, all others and the plot \
         of an LSTM.\n\n",
        rounds.len()
    );
    for note in notes {
        text.push_str(&format!("{note}\n\n"));
    }
    text.push_str(&format!("![Nanoseconds an LSTM step by size]({plot})\n"));
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
    use crate::peers::rounds::tests::{row, row_of};

    /// Two rounds, the second on a machine that is half as fast.
    fn rounds() -> Result<Rounds> {
        let mut rounds = Rounds::default();
        for drift in [1.0, 2.0] {
            let limit = |name, ns: f64| Row { difference: None, ..row(name, "f32", 64, ns * drift) };
            let mut cache = limit("load-L1", 4.0);
            cache.key = super::cache("load-L1");
            rounds.push([
                row("latch-scalar", "f32", 64, 16_000.0 * drift),
                row("latch-avx2", "f32", 64, 2_000.0 * drift),
                row("tract", "f32", 64, 8_000.0 * drift),
                limit("load", 1_000.0),
                limit("multiply-add", 400.0),
                limit("activations", 150.0),
                row(RTNEURAL, "f32", 64, 2_500.0 * drift),
                row_of(Kind::Gru, "latch-avx2", "f32", 64, 1_500.0 * drift),
                row_of(Kind::Rnn, "latch-avx2", "f32", 64, 500.0 * drift),
                row_of(Kind::Gru, RTNEURAL, "f32", 64, 3_000.0 * drift),
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
        let lines: Vec<&str> = json.lines().collect();
        assert_eq!(lines.len(), 11 + 4);
        let time = r#"{"peer":"tract","cell":"lstm","precision":"f32","i":64,"h":64,"ns":12000.0,"min":8000.0,"max":16000.0,"n":2}"#;
        assert_eq!(lines[2], time);
        let cache =
            r#"{"peer":"load-L1","cell":null,"precision":"KiB","i":0,"h":0,"ns":6.0,"min":4.0,"max":8.0,"n":2}"#;
        assert!(lines.contains(&cache));
        let ratios = &lines[11..];
        let fast = r#"{"ratio":"times as fast as RTNeural","peer":"latch-avx2","cell":"gru","precision":"f32","i":64,"h":64,"value":2.0,"min":2.0,"max":2.0,"n":2}"#;
        let part = r#"{"ratio":"part of the LSTM's time","peer":"latch-avx2","cell":"rnn","precision":"f32","i":64,"h":64,"value":0.25,"min":0.25,"max":0.25,"n":2}"#;
        assert_eq!((ratios[0], ratios[2]), (fast, part));
        Ok(())
    }
}
