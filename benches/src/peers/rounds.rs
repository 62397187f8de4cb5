//! What the rounds measured, merged: medians with their range, and ratios of figures of one round.
//!
//! Every engine writes the same lines, whatever its language:
//!
//! ```text
//! peer,cell,precision,i,h,ns,difference
//! tract,lstm,f32,64,64,7310.2,0.0000002
//! ```
//!
//! `difference` is the largest one of the hidden state from the answer in f64 after 16 steps; it is empty for what computes no step.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::cell::{Kind, Shape};
use super::clock::median;

/// The first line of a file of rows.
pub const HEADER: &str = "peer,cell,precision,i,h,ns,difference";

/// The peer that ratios are against.
pub const AGAINST: &str = "tract";

/// The strictest peer, which has a GRU as well.
pub const RTNEURAL: &str = "rtneural-eigen";

/// What the names of our rows begin with; the backend's follows.
pub const OURS: &str = "latch-";

/// What the names of our rows end with where the weights are packed.
pub const PACKED: &str = "-packed";

/// What the rows of our streams that step together begin with; the backend's name follows. Their time is that of all streams.
pub const TOGETHER: &str = "latch8-";

/// How many streams step together.
pub const STREAMS: usize = 8;

/// What an engine's hidden state may differ by from the answer in f64, by the precision of its weights, with the reason.
pub const TOLERANCES: [(&str, f64); 5] = [
    // Some 500 products and 16 steps in f32.
    ("f32", 1e-5),
    // Weights rounded to 11 bits, about 5e-4 of each.
    ("f16", 2e-3),
    // Weights, inputs and hidden state rounded to 8 bits.
    ("int8", 3e-2),
    // Weights and inputs rounded to 4 bits.
    ("int4", 1.5e-1),
    // As int8, with one scale for a whole matrix in place of one for a row.
    ("int8-dynamic", 6e-2),
];

/// What is measured: the engine, the cell, the precision of its weights, and the shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The engine; ours is `latch-<backend>`, and what bounds a step is one of [`super::roofline`]'s names.
    pub peer: String,
    /// None for what belongs to no cell.
    pub cell: Option<Kind>,
    /// `f32`, `f16`, `int8`, `int4` or `int8-dynamic`.
    pub precision: String,
    /// Inputs and units. 0x0 for what belongs to no size.
    pub shape: Shape,
}

impl Key {
    /// True for ours.
    pub fn is_ours(&self) -> bool {
        self.peer.starts_with(OURS)
    }
}

/// One line: a figure of one round.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What was measured.
    pub key: Key,
    /// Nanoseconds a step.
    pub ns: f64,
    /// See the [module](self).
    pub difference: Option<f64>,
}

impl Row {
    /// A line without its end.
    pub fn line(&self) -> String {
        let Key { peer, cell, precision, shape } = &self.key;
        let cell = cell.map_or("", Kind::name);
        let difference = self.difference.map_or(String::new(), |difference| format!("{difference:.3e}"));
        format!("{peer},{cell},{precision},{},{},{:.3},{difference}", shape.inputs, shape.units, self.ns)
    }

    fn parse(line: &str) -> Result<Self> {
        let fields: Vec<&str> = line.split(',').collect();
        let [peer, cell, precision, inputs, units, ns, difference] = fields[..] else {
            bail!("a row has seven fields: {HEADER}")
        };
        let key = Key {
            peer: peer.to_owned(),
            cell: if cell.is_empty() { None } else { Some(cell.parse()?) },
            precision: precision.to_owned(),
            shape: Shape { inputs: inputs.parse()?, units: units.parse()? },
        };
        let ns: f64 = ns.parse()?;
        ensure!(ns.is_finite() && ns > 0.0, "{ns} ns is no time");
        let difference = if difference.is_empty() { None } else { Some(difference.parse()?) };
        Ok(Row { key, ns, difference })
    }

    /// Holds the difference to [`TOLERANCES`].
    ///
    /// # Errors
    /// Names the engine and the size that disagree.
    pub fn check(&self) -> Result<()> {
        let Some(difference) = self.difference else { return Ok(()) };
        let Key { peer, cell, precision, shape } = &self.key;
        let cell = cell.map_or("", Kind::name);
        let tolerance = TOLERANCES.iter().find(|(name, _)| name == precision);
        let &(_, allowed) = tolerance.with_context(|| format!("{peer}: no tolerance for {precision}"))?;
        // A NaN is not below anything.
        if difference <= allowed {
            return Ok(());
        }
        bail!(
            "{peer} disagrees on {cell} {shape} in {precision}: off by {difference:.1e}, and {allowed:.0e} are allowed"
        );
    }
}

/// The rows of a file.
///
/// # Errors
/// Names the file and the line that is none.
pub fn read(path: &Path) -> Result<Vec<Row>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Row>> {
    let mut lines = text.lines();
    ensure!(lines.next() == Some(HEADER), "the first line is not `{HEADER}`");
    lines
        .enumerate()
        .map(|(index, line)| Row::parse(line).with_context(|| format!("line {}: {line}", index + 2)))
        .collect()
}

/// The text of a file of rows.
pub fn text(rows: &[Row]) -> String {
    let mut text = format!("{HEADER}\n");
    for row in rows {
        text.push_str(&row.line());
        text.push('\n');
    }
    text
}

/// The median over rounds, with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figure {
    /// The middle one.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// Rounds.
    pub n: usize,
}

impl Figure {
    /// Of at least one value.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let median = median(&mut values);
        Some(Figure { median, min: values[0], max: values[values.len() - 1], n: values.len() })
    }
}

/// All rounds, each a table of its own.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    rounds: Vec<BTreeMap<Key, Row>>,
    /// Keys in the order in which they came first.
    order: Vec<Key>,
}

impl Rounds {
    /// Adds the rows of one round, of however many files.
    ///
    /// # Errors
    /// Names what is measured twice in one round.
    pub fn push(&mut self, rows: impl IntoIterator<Item = Row>) -> Result<()> {
        let mut round = BTreeMap::new();
        for row in rows {
            if !self.order.contains(&row.key) {
                self.order.push(row.key.clone());
            }
            let Key { peer, cell, precision, shape } = row.key.clone();
            let twice = round.insert(row.key.clone(), row).is_some();
            let cell = cell.map_or("", Kind::name);
            ensure!(!twice, "{peer} {cell} {precision} {shape} is measured twice in one round");
        }
        self.rounds.push(round);
        Ok(())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.rounds.len()
    }

    /// True without a round.
    pub fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }

    /// Everything that is measured, in the order in which it came first.
    pub fn keys(&self) -> &[Key] {
        &self.order
    }

    /// The shapes that are measured, in the order in which they came first.
    pub fn shapes(&self) -> Vec<Shape> {
        let mut shapes = Vec::new();
        for key in &self.order {
            if key.shape.units > 0 && !shapes.contains(&key.shape) {
                shapes.push(key.shape);
            }
        }
        shapes
    }

    /// Peers and precisions that `keep` keeps, in the order in which they came first.
    pub fn peers(&self, keep: impl Fn(&Key) -> bool) -> Vec<(&str, &str)> {
        let mut peers = Vec::new();
        for key in self.order.iter().filter(|key| keep(key)) {
            let peer = (key.peer.as_str(), key.precision.as_str());
            if !peers.contains(&peer) {
                peers.push(peer);
            }
        }
        peers
    }

    /// Ours that does an LSTM step fastest at a shape and precision.
    pub fn fastest_of_ours(&self, precision: &str, shape: Shape) -> Option<&Key> {
        self.fastest(precision, shape, |peer| peer.starts_with(OURS))
    }

    /// The same among the peers that `keep` keeps by their names.
    pub fn fastest(&self, precision: &str, shape: Shape, keep: impl Fn(&str) -> bool) -> Option<&Key> {
        let keys = self.order.iter().filter(|key| key.cell == Some(Kind::Lstm) && keep(&key.peer));
        keys.filter(|key| key.precision == precision && key.shape == shape)
            .filter_map(|key| Some((key, self.ns(key)?.median)))
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .map(|(key, _)| key)
    }

    /// Nanoseconds over all rounds.
    pub fn ns(&self, key: &Key) -> Option<Figure> {
        self.combine([key], |[ns]| ns)
    }

    /// The largest difference from the answer over all rounds.
    pub fn difference(&self, key: &Key) -> Option<f64> {
        self.rounds.iter().filter_map(|round| round.get(key)?.difference).reduce(f64::max)
    }

    /// What comes of figures of the *same* round, over all rounds that have them all: a ratio, say. A drift of the machine that lasts
    /// longer than a round hits all of them alike and drops out.
    pub fn combine<const N: usize>(&self, keys: [&Key; N], combine: impl Fn([f64; N]) -> f64) -> Option<Figure> {
        let of_round = |round: &BTreeMap<Key, Row>| {
            let mut values = [0.0; N];
            for (value, key) in values.iter_mut().zip(keys) {
                *value = round.get(key)?.ns;
            }
            Some(combine(values))
        };
        Figure::of(self.rounds.iter().filter_map(of_round).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of an LSTM.
    pub(crate) fn row(peer: &str, precision: &str, size: usize, ns: f64) -> Row {
        row_of(Kind::Lstm, peer, precision, size, ns)
    }

    pub(crate) fn row_of(cell: Kind, peer: &str, precision: &str, size: usize, ns: f64) -> Row {
        let shape = Shape { inputs: size, units: size };
        let key = Key { peer: peer.to_owned(), cell: Some(cell), precision: precision.to_owned(), shape };
        Row { key, ns, difference: Some(0.0) }
    }

    #[test]
    fn rows_come_back_from_their_text() -> Result<()> {
        let gru = row_of(Kind::Gru, "rtneural-eigen", "f32", 16, 80.5);
        let mut rows = vec![row("tract", "f32", 64, 7310.25), gru, row("load-L1", "KiB", 0, 12.5)];
        (rows[2].key.cell, rows[2].difference) = (None, None);
        assert_eq!(parse(&text(&rows))?, rows);
        Ok(())
    }

    #[test]
    fn a_line_that_is_no_row_is_named() {
        for line in [
            "tract,lstm,f32,64,64,12",
            "tract,lstm,f32,64,64,0,0",
            "tract,lstm,f32,64,64,NaN,0",
            "tract,lstm,f32,a,64,1,0",
            "tract,dense,f32,64,64,1,0",
            "",
        ] {
            let error = parse(&format!("{HEADER}\ntract,lstm,f32,16,16,1,0\n{line}\n")).expect_err(line);
            assert!(error.to_string().starts_with("line 3"), "{error}");
        }
        assert!(parse("ns\n").is_err());
    }

    #[test]
    fn a_figure_is_the_median_with_its_range_and_number() {
        let figure = Figure::of(vec![5.0, 1.0, 3.0]);
        assert_eq!(figure, Some(Figure { median: 3.0, min: 1.0, max: 5.0, n: 3 }));
        assert_eq!(Figure::of(Vec::new()), None);
    }

    #[test]
    fn ratios_pair_figures_of_one_round_so_that_a_drift_drops_out() -> Result<()> {
        let mut rounds = Rounds::default();
        for drift in [1.0, 1.5, 2.0] {
            rounds.push([row("tract", "f32", 16, 6000.0 * drift), row("latch", "f32", 16, 100.0 * drift)])?;
        }
        // A round without the other one counts for nothing.
        rounds.push([row("latch", "f32", 16, 1.0)])?;
        let (tract, latch) = (&rounds.keys()[0], &rounds.keys()[1]);
        let ratio = rounds.combine([tract, latch], |[tract, latch]| tract / latch);
        assert_eq!(ratio, Some(Figure { median: 60.0, min: 60.0, max: 60.0, n: 3 }));
        assert_eq!(rounds.ns(tract), Some(Figure { median: 9000.0, min: 6000.0, max: 12000.0, n: 3 }));
        Ok(())
    }

    #[test]
    fn ours_that_is_fastest_differs_by_precision_and_size() -> Result<()> {
        let mut rounds = Rounds::default();
        let slow = [row("latch-scalar", "f32", 16, 50.0), row("latch-avx2", "f32", 16, 60.0)];
        let fast =
            [row("latch-scalar", "f32", 64, 900.0), row("latch-avx2", "f32", 64, 800.0), row("tract", "f32", 64, 1.0)];
        // Another cell's steps are not compared with those of an LSTM.
        let gru = row_of(Kind::Gru, "latch-avx512", "f32", 64, 1.0);
        rounds.push(slow.into_iter().chain(fast).chain([gru]))?;
        let fastest = |precision, size| {
            let key = rounds.fastest_of_ours(precision, Shape { inputs: size, units: size });
            key.map(|key| key.peer.as_str())
        };
        assert_eq!(
            [fastest("f32", 16), fastest("f32", 64), fastest("f16", 64)],
            [Some("latch-scalar"), Some("latch-avx2"), None]
        );
        Ok(())
    }

    #[test]
    fn one_round_measures_nothing_twice() {
        let error = Rounds::default().push([row("rten", "f32", 16, 1.0), row("rten", "f32", 16, 2.0)]);
        assert!(error.is_err_and(|error| error.to_string().contains("rten lstm f32 16x16")));
    }

    #[test]
    fn an_engine_that_disagrees_is_named_with_the_size() {
        let mut row = row("candle", "f32", 128, 1.0);
        row.difference = Some(1e-6);
        assert!(row.check().is_ok());
        for wrong in [2e-5, f64::INFINITY, f64::NAN] {
            row.difference = Some(wrong);
            let error = row.check().expect_err("it is off").to_string();
            assert!(error.contains("candle") && error.contains("128x128"), "{error}");
        }
    }
}
