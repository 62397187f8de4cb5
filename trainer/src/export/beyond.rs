//! Initial states that lie beyond what the integers of an image hold, and that it cuts.

use std::fmt;

use crate::config::chain::{Chain, LayerConfig};
use crate::quantizer::Weights;

/// The largest hidden state of an integer image: Q0.15.
const MOST_HIDDEN: f32 = 1.0;

/// The largest cell state of an integer image: Q12.19.
const MOST_CELL: f32 = 4096.0;

/// The initial state of a layer that an integer image cuts.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// The layer's place in the chain, counted from 1 behind the embedding or the samples.
    pub number: usize,
    /// Its kind.
    pub kind: &'static str,
    /// The state that is cut: `hidden` or `cell`.
    pub state: &'static str,
    /// How many units are cut.
    pub units: usize,
    /// The magnitude of the largest one.
    pub largest: f32,
    /// What integers hold.
    pub most: f32,
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cut { number, kind, state, units, largest, most } = self;
        let count = crate::counted::counted(*units, "unit");
        write!(
            formatter,
            "layer {number} ({kind}): its initial {state} state reaches {largest:.4}, and integers hold up to {most}: {count} begin at that; \
             --precision f16 or f32 begins as it was learned"
        )
    }
}

/// The initial states of a network that integers cut, in the order of the layers.
pub(super) fn cut(weights: &Weights, chain: &Chain) -> Vec<Cut> {
    let mut found = Vec::new();
    for initial in &weights.initial {
        let kind = chain.layers.get(initial.layer).map_or("", LayerConfig::name);
        for (state, values, most) in [("hidden", &initial.hidden, MOST_HIDDEN), ("cell", &initial.cell, MOST_CELL)] {
            let units = values.iter().filter(|value| value.abs() > most).count();
            let largest = values.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
            if units > 0 {
                found.push(Cut { number: initial.layer + 1, kind, state, units, largest, most });
            }
        }
    }
    found
}
