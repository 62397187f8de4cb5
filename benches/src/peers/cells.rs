//! The second part of a page: steps of a GRU and of a simple cell, beside RTNeural's GRU and beside the same engine's LSTM.

use super::cell::{Kind, Shape};
use super::rounds::{Figure, Key, RTNEURAL, Rounds};
use super::table::{Table, difference, figure, heading, key};

/// The cells besides the LSTM.
const CELLS: [Kind; 2] = [Kind::Gru, Kind::Rnn];

/// What a ratio sets against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Against {
    /// The time of RTNeural's same cell in f32, divided by ours: times as fast.
    RtNeural,
    /// A cell's time, divided by that of the LSTM of the same engine and precision: its part.
    Lstm,
}

impl Against {
    /// All, in the order of the tables.
    pub const ALL: [Against; 2] = [Against::RtNeural, Against::Lstm];

    /// As JSON has it.
    pub fn name(self) -> &'static str {
        match self {
            Against::RtNeural => "times as fast as RTNeural",
            Against::Lstm => "part of the LSTM's time",
        }
    }

    /// The ratio for what is measured; none where it is another engine's or the other figure is not measured.
    pub fn ratio(self, rounds: &Rounds, measured: &Key) -> Option<Figure> {
        let Key { peer, precision, shape, .. } = measured;
        match self {
            Against::RtNeural if !measured.is_ours() => None,
            Against::RtNeural => {
                let other = Key { peer: RTNEURAL.to_owned(), precision: "f32".to_owned(), ..measured.clone() };
                rounds.combine([&other, measured], |[other, own]| other / own)
            }
            Against::Lstm => {
                let lstm = key(peer, Kind::Lstm, precision, *shape);
                rounds.combine([measured, &lstm], |[own, lstm]| own / lstm)
            }
        }
    }
}

/// True for what this part shows.
pub fn is_shown(key: &Key) -> bool {
    key.cell.is_some_and(|cell| CELLS.contains(&cell))
}

/// The tables, in the order of a page.
pub fn tables(rounds: &Rounds) -> Vec<Table> {
    let paired = "Each ratio is of two figures of the same round; median over the rounds (smallest–largest; rounds).";
    let ratio = |against: Against| by_shape(rounds, |key| figure(against.ratio(rounds, key)));
    vec![
        Table {
            title: "GRU and simple RNN: nanoseconds a step".to_owned(),
            note: "`gru`: the reset gate acts after the recurrent product, as Keras's does unless told otherwise. `rnn`: one row a unit, through tanh. \
                   Median over the rounds (smallest–largest; rounds)."
                .to_owned(),
            rows: by_shape(rounds, |key| figure(rounds.ns(key))),
        },
        Table {
            title: "GRU, times as fast as RTNeural".to_owned(),
            note: format!("RTNeural's in f32. {paired}"),
            rows: ratio(Against::RtNeural),
        },
        Table {
            title: "GRU and simple RNN, part of the LSTM's time".to_owned(),
            note: format!("The same engine's LSTM, at the same precision. {paired}"),
            rows: ratio(Against::Lstm),
        },
        Table {
            title: "GRU and simple RNN: agreement".to_owned(),
            note: "The largest difference of the hidden state after 16 steps from the answer in f64.".to_owned(),
            rows: by_shape(rounds, |key| difference(rounds, key)),
        },
    ]
}

/// A table with a column for each shape and a row for each cell, engine and precision, but for rows that have nothing in them.
fn by_shape(rounds: &Rounds, text: impl Fn(&Key) -> String) -> Vec<Vec<String>> {
    let shapes: Vec<Shape> =
        rounds.shapes().into_iter().filter(|&shape| CELLS.iter().all(|cell| cell.has(shape))).collect();
    let mut rows = vec![heading(&["cell", "engine", "precision"], &shapes)];
    for cell in CELLS {
        for (peer, precision) in rounds.peers(|key| key.cell == Some(cell)) {
            let texts: Vec<String> = shapes.iter().map(|&shape| text(&key(peer, cell, precision, shape))).collect();
            if texts.iter().any(|text| !text.is_empty()) {
                let names = [cell.name(), peer, precision].map(str::to_owned).into_iter();
                rows.push(names.chain(texts).collect());
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::rounds::tests::{row, row_of};
    use anyhow::Result;

    #[test]
    fn ratios_pair_figures_of_one_round() -> Result<()> {
        let mut rounds = Rounds::default();
        for drift in [1.0, 2.0, 1.5] {
            rounds.push([
                row("latch-avx2", "int8", 64, 400.0 * drift),
                row_of(Kind::Gru, "latch-avx2", "int8", 64, 300.0 * drift),
                row_of(Kind::Gru, RTNEURAL, "f32", 64, 900.0 * drift),
                row_of(Kind::Rnn, "latch-avx2", "int8", 64, 100.0 * drift),
            ])?;
        }
        let shape = Shape { inputs: 64, units: 64 };
        let median = |against: Against, peer, cell, precision| {
            against.ratio(&rounds, &key(peer, cell, precision, shape)).map(|ratio| (ratio.median, ratio.min, ratio.max))
        };
        assert_eq!(median(Against::RtNeural, "latch-avx2", Kind::Gru, "int8"), Some((3.0, 3.0, 3.0)));
        assert_eq!(median(Against::Lstm, "latch-avx2", Kind::Gru, "int8"), Some((0.75, 0.75, 0.75)));
        assert_eq!(median(Against::Lstm, "latch-avx2", Kind::Rnn, "int8"), Some((0.25, 0.25, 0.25)));
        // RTNeural has no simple cell, is not set against itself, and its LSTM is missing here.
        assert_eq!(median(Against::RtNeural, "latch-avx2", Kind::Rnn, "int8"), None);
        assert_eq!(median(Against::RtNeural, RTNEURAL, Kind::Gru, "f32"), None);
        assert_eq!(median(Against::Lstm, RTNEURAL, Kind::Gru, "f32"), None);
        Ok(())
    }
}
