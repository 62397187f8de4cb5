//! How long a token takes on a named part, from the shape of a model alone: an estimate for choosing between shapes before they are trained.
//!
//! ```text
//! instructions = Σ layers (a·M + b·U·r/4 + c) + t + g·n
//! M: multiply-adds, r·U·⌈inputs + U⌉₄;  U: units;  n: longest n-gram
//! r: rows of a unit: 4 of an LSTM, 3 of a GRU, 1 of a simple recurrent or a dense layer
//! cycles       = instructions · (cycles an instruction) + waits for M bytes of weights in flash
//! ```
//!
//! `a`, `b`, `c` are solved from the instructions that were counted for int8 steps of three sizes, and give the other
//! sizes counted to 1 %; `t` (tokenizer, vocabulary) and the cycles of an instruction with their band are those of a
//! token of the IMDb model (`docs/results/2026-11-23-chips.md`); waits are those of `docs/cycle-estimate.md`. `g` is
//! judgement, and so are layers other than an LSTM. Nothing here is measured, and `latch-sim run --board` says more
//! once there is an image. Holds for integer models; floats take twice as long or more.

use latch_parts::parts::Part;
use serde::{Deserialize, Serialize};

use crate::config::ModelConfig;
use crate::config::chain::LayerConfig;

/// What a core takes.
struct Core {
    name: &'static str,
    /// Instructions of a multiply-add of the gates, of a unit, and of a layer besides.
    step: [f64; 3],
    /// Instructions of a token before the network: tokenizer and vocabulary.
    text: f64,
    /// Instructions of the search for an n-gram.
    ngram: f64,
    /// Cycles of an instruction, from memory that does not wait: the least, the likely number, the most.
    cycles: [f64; 3],
}

const CORTEX_M4: Core =
    Core { name: "Cortex-M4", step: [1.159, 175.8, 353.6], text: 3_800.0, ngram: 80.0, cycles: [1.232, 1.461, 1.685] };

const CORES: [Core; 5] = [
    Core { name: "Cortex-M0", step: [3.894, 336.4, 541.0], text: 5_400.0, ngram: 200.0, cycles: [1.356, 1.427, 1.551] },
    CORTEX_M4,
    Core { name: "Cortex-M7", cycles: [0.532, 1.125, 2.221], ..CORTEX_M4 },
    Core { name: "Cortex-M33", cycles: [1.033, 1.560, 2.015], ..CORTEX_M4 },
    Core { name: "Cortex-M55", step: [0.1886, 28.3, 576.7], text: 4_300.0, ngram: 80.0, cycles: [0.943, 1.832, 2.908] },
];

/// What other shapes than those that were counted may differ by, on either side of the band.
const MARGIN: f64 = 0.1;

/// Microseconds of a token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Microseconds {
    /// The least.
    pub low: f64,
    /// The likely number.
    pub likely: f64,
    /// The most: what a limit is held to.
    pub high: f64,
}

impl Core {
    fn of(part: &Part) -> Option<&'static Core> {
        CORES.iter().find(|core| core.name == part.core.trim_end_matches(['F', '+']))
    }

    /// Instructions of a token, and the bytes of weights that it reads.
    fn instructions(&self, model: &ModelConfig) -> (f64, f64) {
        let [multiply_add, unit, layer] = self.step;
        let (mut instructions, mut weights) = (self.text, 0.0);
        let mut inputs = model.chain.embedding;
        for of in &model.chain.layers {
            let units = of.features(inputs, 1);
            // Of two directions each walks all steps once.
            let (one, directions) = match of {
                LayerConfig::Bidirectional(both) => (both.direction(), 2),
                one => (*one, 1),
            };
            let width = one.features(inputs, 1);
            let (rows, columns) = match one {
                LayerConfig::Lstm(_) => (4, inputs + width),
                LayerConfig::Gru { .. } => (3, inputs + width),
                LayerConfig::Rnn { .. } => (1, inputs + width),
                LayerConfig::Conv1d { frames, .. } => (1, frames * inputs),
                LayerConfig::Dense { units: Some(_), .. } => (1, inputs),
                // An estimate is that of an integer image, which has no such layer.
                LayerConfig::Variant { .. } | LayerConfig::LayerNorm { .. } => continue,
                // A comparison a value.
                LayerConfig::MaxPool { .. } => continue,
                LayerConfig::Bidirectional(_) | LayerConfig::Dense { units: None, .. } | LayerConfig::Pooling(_) => {
                    continue;
                }
            };
            let rows = directions * rows;
            let products = (rows * width * columns.next_multiple_of(4)) as f64;
            instructions += multiply_add * products + unit * (rows * width) as f64 / 4.0 + layer;
            weights += products;
            inputs = units;
        }
        if model.ngrams.count > 0 {
            instructions += self.ngram * f64::from(model.ngrams.longest);
        }
        (instructions, weights)
    }
}

/// The estimate for a token of an integer model on a part at its highest clock; `None` for a core of which nothing was counted.
pub fn estimate(part: &Part, model: &ModelConfig) -> Option<Microseconds> {
    let core = Core::of(part)?;
    let (instructions, weights) = core.instructions(model);
    // Weights are read four bytes at a time, each once a token: a wait a line, or a wait a load where nothing holds the line.
    let lines = weights / part.memory.line_bytes * part.memory.flash_waits;
    let loads = (weights / 4.0 * part.memory.flash_waits).max(lines);
    let waits = if part.memory.data_cached { [0.0, lines, loads] } else { [lines, (lines + loads) / 2.0, loads] };
    let time = |index: usize, margin: f64| {
        (instructions * core.cycles[index] + waits[index]) * margin / f64::from(part.clock_hz) * 1e6
    };
    Some(Microseconds { low: time(0, 1.0 - MARGIN), likely: time(1, 1.0), high: time(2, 1.0 + MARGIN) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::chain::{Chain, Pooling};
    use crate::config::default_model;
    use latch_parts::parts::{PARTS, find};

    fn lstm(embedding: usize, units: usize) -> ModelConfig {
        ModelConfig { chain: Chain::stacked(embedding, 1, units, Some(Pooling::Attention)), ..default_model() }
    }

    fn step(core: &Core, size: usize) -> f64 {
        core.instructions(&lstm(size, size)).0 - core.text
    }

    #[test]
    fn the_formula_gives_the_instructions_that_were_counted() {
        let counted: [(&str, &[(usize, f64)]); 3] = [
            ("Cortex-M0", &[(16, 13_898.0), (8, 5_226.0), (1, 940.0)]),
            ("Cortex-M4", &[(64, 49_593.0), (32, 15_489.0), (16, 5_541.0), (8, 2_343.0), (1, 548.0)]),
            ("Cortex-M55", &[(64, 8_568.0), (16, 1_416.0), (1, 608.0)]),
        ];
        for (name, steps) in counted {
            let core = CORES.iter().find(|core| core.name == name).expect(name);
            for &(size, instructions) in steps {
                let ratio = step(core, size) / instructions;
                assert!((ratio - 1.0).abs() < 0.01, "{name} at {size}: {ratio}");
            }
        }
    }

    #[test]
    fn a_token_of_the_imdb_model_is_near_what_the_simulator_estimates_for_the_part() {
        // docs/results/2026-11-23-chips.md: 379 µs on the nRF52840, 20,500 to 28,200 cycles at 64 MHz.
        let estimate = estimate(&find("nrf52840").expect("a part"), &default_model()).expect("an estimate");
        assert!((estimate.likely / 379.0 - 1.0).abs() < 0.05, "{estimate:?}");
        assert!(estimate.low < 20_500.0 / 64.0 && estimate.high > 28_200.0 / 64.0, "{estimate:?}");
    }

    #[test]
    fn a_gru_takes_less_time_than_an_lstm_and_more_than_a_simple_layer() {
        for part in PARTS {
            let [lstm, gru, rnn, deep] = ["lstm 24", "gru 24", "rnn 24", "gru 24 > dense 9 relu"].map(|layers| {
                let chain = format!("embedding 8 > {layers} > last > dense").parse().expect("a chain");
                estimate(part, &ModelConfig { chain, ..default_model() }).expect(part.name).likely
            });
            assert!(rnn < gru && gru < lstm && gru < deep, "{}: {lstm} {gru} {rnn} {deep}", part.name);
        }
    }

    #[test]
    fn every_part_has_an_estimate_that_grows_with_the_model() {
        for part in PARTS {
            let of = |units| estimate(part, &lstm(8, units)).expect(part.name);
            let (small, large) = (of(8), of(64));
            assert!(0.0 < small.low && small.low <= small.likely && small.likely <= small.high, "{}", part.name);
            assert!(small.low < large.low && small.high < large.high, "{}", part.name);
        }
    }
}
