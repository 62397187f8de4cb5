//! How far a recurrent layer learns back: the adding problem, by simple RNN, GRU and LSTM.
//!
//! ```text
//! x_t = (value, mark)       values uniform in [0, 1]; two steps are marked, one in the first and one in the last tenth
//! y   = v_first + v_second − 1
//! g_k = ‖∂L/∂x_{T−k}‖ / ‖∂L/∂x_T‖       L = (z − y)²
//! ```
//!
//! Hochreiter and Schmidhuber 1997 have the problem, Bengio, Simard and Frasconi 1994 why the gradient of a simple RNN vanishes.

use std::sync::Arc;

use anyhow::{Context, Result};
use rand::RngExt;
use serde::Serialize;

use crate::batches::{Batch, generator};
use crate::bptt::{LossOptions, StepOptions, TrainError, Trainer, Workspace, train_step};
use crate::config::Objective;
use crate::config::chain::{Activation, CellConfig, Chain, LayerConfig, Pooling};
use crate::network::{Network, NetworkConfig};
use crate::optimizer::AdamConfig;
use crate::samples::Frames;

/// Mean squared error of a network that has solved the problem; always answering 0 has 1/6.
pub const SOLVED: f64 = 0.01;

/// The same of always answering 0: the variance of two uniform values.
pub const CHANCE: f64 = 1.0 / 6.0;

/// Sequences that judge a network.
const JUDGED: usize = 256;

/// Steps between two looks at whether a network has solved the problem.
const LOOK: u64 = 100;

/// What is run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Steps from the first step of a sequence to its last.
    pub lags: Vec<usize>,
    /// Seeds, from 1.
    pub seeds: u64,
    /// Steps of training, at most.
    pub steps: u64,
    /// Units of the layer.
    pub units: usize,
    /// Sequences of a batch.
    pub batch: usize,
    /// The learning rate.
    pub learning_rate: f64,
}

impl Default for Plan {
    fn default() -> Self {
        Plan {
            lags: vec![10, 25, 50, 100, 200, 400],
            seeds: 3,
            steps: 2_000,
            units: 16,
            batch: 32,
            learning_rate: 0.01,
        }
    }
}

impl Plan {
    /// The command that runs it, but for its folder.
    pub fn command(&self) -> String {
        let usual = Plan::default();
        let mut command = "latch experiment gradients".to_owned();
        if self.lags != usual.lags {
            let lags: Vec<String> = self.lags.iter().map(usize::to_string).collect();
            command += &format!(" --lags {}", lags.join(","));
        }
        for (option, said, usual) in [
            ("--seeds", self.seeds, usual.seeds),
            ("--steps", self.steps, usual.steps),
            ("--units", self.units as u64, usual.units as u64),
        ] {
            if said != usual {
                command += &format!(" {option} {said}");
            }
        }
        command
    }

    /// How many networks of each layer and lag have solved the problem, as a table for a terminal.
    pub fn table(&self, outcomes: &[Outcome]) -> String {
        let mut text = format!("{:<12}", "solved");
        self.lags.iter().for_each(|lag| text += &format!("{lag:>8}"));
        for cell in Cell::ALL {
            text += &format!("\n{:<12}", cell.name());
            for &lag in &self.lags {
                let own = || outcomes.iter().filter(move |outcome| (outcome.cell, outcome.lag) == (cell, lag));
                text += &format!(
                    "{:>8}",
                    format!("{}/{}", own().filter(|outcome| outcome.is_solved()).count(), own().count())
                );
            }
        }
        text
    }
}

/// A recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cell {
    /// Simple, with tanh.
    Rnn,
    /// With two gates.
    Gru,
    /// With a cell that is added to.
    Lstm,
}

impl Cell {
    /// All of them.
    pub const ALL: [Self; 3] = [Cell::Rnn, Cell::Gru, Cell::Lstm];

    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Cell::Rnn => "simple RNN",
            Cell::Gru => "GRU",
            Cell::Lstm => "LSTM",
        }
    }

    fn layer(self, units: usize) -> LayerConfig {
        let cell = CellConfig::of(units);
        match self {
            Cell::Rnn => LayerConfig::Rnn { cell, activation: Activation::Tanh },
            Cell::Gru => LayerConfig::Gru { cell, reset_after: true },
            Cell::Lstm => LayerConfig::Lstm(cell),
        }
    }
}

/// What came of one network.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Its layer.
    pub cell: Cell,
    /// Steps from the first step to the last.
    pub lag: usize,
    /// Its seed.
    pub seed: u64,
    /// `g_k` before it learned, from k = 0 to the lag.
    pub before: Vec<f64>,
    /// The same after it.
    pub after: Vec<f64>,
    /// Its mean squared error on sequences that it has not learned from.
    pub error: f64,
    /// Steps of training: fewer than planned where it has solved the problem.
    pub steps: u64,
}

impl Outcome {
    /// Whether it has solved the problem.
    pub fn is_solved(&self) -> bool {
        self.error < SOLVED
    }
}

/// Trains all networks of a plan; `done` is told how many are over, of how many. The same plan gives the same numbers.
///
/// # Errors
/// Weights that diverge, or a plan without units.
pub fn run(plan: &Plan, done: &mut dyn FnMut(usize, usize)) -> Result<Vec<Outcome>> {
    let all = Cell::ALL.len() * plan.lags.len() * plan.seeds as usize;
    let mut outcomes = Vec::with_capacity(all);
    for cell in Cell::ALL {
        for &lag in &plan.lags {
            for seed in 1..=plan.seeds {
                done(outcomes.len(), all);
                let outcome = learn(plan, cell, lag, seed);
                outcomes.push(outcome.with_context(|| format!("{} at lag {lag}, seed {seed}", cell.name()))?);
            }
        }
    }
    done(all, all);
    Ok(outcomes)
}

/// Trains one network.
fn learn(plan: &Plan, cell: Cell, lag: usize, seed: u64) -> Result<Outcome> {
    let dense = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 };
    let layers = vec![cell.layer(plan.units), LayerConfig::Pooling(Pooling::Last), dense];
    let config = NetworkConfig { vocabulary: 0, outputs: 1, chain: Chain { embedding: 2, word_dropout: 0.0, layers } };
    let mut trainer = Trainer::new(Network::<f32>::new(&config, seed)?, &AdamConfig::default());
    let loss = LossOptions { objective: Objective::SquaredError, ..LossOptions::default() };
    let options = StepOptions { learning_rate: plan.learning_rate, clip_norm: Some(1.0), loss: loss.clone() };
    let judged = Sequences::drawn(lag, JUDGED, [seed, u64::MAX, 0, 0]);
    let before = norms(&trainer.network, &judged, &loss)?;
    let mut error = mean_square(&trainer.network, &judged)?;
    let mut steps = 0;
    while steps < plan.steps && error >= SOLVED {
        let sequences = Sequences::drawn(lag, plan.batch, [seed, steps, 0, 1]);
        trainer.network.embedding.read(&sequences.frames);
        train_step(&mut trainer, &sequences.batch, &options)?;
        steps += 1;
        if steps % LOOK == 0 || steps == plan.steps {
            error = mean_square(&trainer.network, &judged)?;
        }
    }
    let after = norms(&trainer.network, &judged, &loss)?;
    Ok(Outcome { cell, lag, seed, before, after, error, steps })
}

/// Sequences of the adding problem.
struct Sequences {
    frames: Frames,
    batch: Batch,
}

impl Sequences {
    /// So many of them, of `lag + 1` steps.
    fn drawn(lag: usize, count: usize, seed: [u64; 4]) -> Self {
        let mut rng = generator(seed);
        let (length, tenth) = (lag + 1, (lag / 10).max(1));
        let (mut values, mut batch) = (Vec::with_capacity(2 * length * count), Batch::new());
        for number in 0..count {
            let marked = [rng.random_range(0..tenth), length - 1 - rng.random_range(0..tenth)];
            let mut sum = -1.0;
            for step in 0..length {
                let value: f32 = rng.random();
                let is_marked = marked.contains(&step);
                sum += if is_marked { value } else { 0.0 };
                values.extend([value, f32::from(u8::from(is_marked))]);
            }
            let ids: Vec<u32> = (number * length..(number + 1) * length).map(|id| id as u32).collect();
            batch.push(&ids, sum);
        }
        Sequences { frames: Frames { values: Arc::new(values), channels: 2 }, batch }
    }
}

/// The mean squared error of a network's answers.
fn mean_square(network: &Network<f32>, judged: &Sequences) -> Result<f64> {
    let mut network = network.clone();
    network.embedding.read(&judged.frames);
    let sequences: Vec<&[u32]> = judged.batch.sequences().collect();
    let answers = network.forward(&sequences)?;
    let squares = answers.iter().zip(judged.batch.labels()).map(|(z, y)| f64::from(z - y).powi(2));
    Ok(squares.sum::<f64>() / judged.batch.len() as f64)
}

/// `g_k` of a network, the norms added up over sequences, in 64 bits: what is left of a gradient after hundreds of steps is below the range of 32.
fn norms(network: &Network<f32>, judged: &Sequences, loss: &LossOptions) -> Result<Vec<f64>, TrainError> {
    let mut network: Network<f64> = network.convert();
    network.embedding.read(&judged.frames);
    let mut workspace = Workspace::new(&network);
    workspace.loss_and_gradients(&network, &judged.batch, loss)?;
    let mut sums: Vec<f64> = Vec::new();
    workspace.for_each_input_gradient(2, &mut |back, gradient| {
        if sums.len() <= back {
            sums.resize(back + 1, 0.0);
        }
        sums[back] += gradient.iter().map(|value| value * value).sum::<f64>().sqrt();
    });
    let newest = sums.first().copied().filter(|&newest| newest > 0.0).unwrap_or(1.0);
    Ok(sums.into_iter().map(|sum| sum / newest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(plan: &Plan) -> Vec<Outcome> {
        run(plan, &mut |_, _| {}).expect("it runs")
    }

    #[test]
    fn the_norms_are_those_of_differences_of_the_loss() {
        let plan = Plan { units: 3, ..Plan::default() };
        let sequences = Sequences::drawn(6, 1, [1, 2, 3, 4]);
        for cell in Cell::ALL {
            let dense = LayerConfig::Dense { units: None, activation: Activation::Linear, dropout: 0.0 };
            let layers = vec![cell.layer(plan.units), LayerConfig::Pooling(Pooling::Last), dense];
            let chain = Chain { embedding: 2, word_dropout: 0.0, layers };
            let network = Network::<f32>::new(&NetworkConfig { vocabulary: 0, outputs: 1, chain }, 1).expect("valid");
            let loss = LossOptions { objective: Objective::SquaredError, ..LossOptions::default() };
            let found = norms(&network, &sequences, &loss).expect("it runs");
            let network: Network<f64> = network.convert();
            let loss_of = |values: Vec<f32>| {
                let mut network = network.clone();
                network.embedding.read(&Frames { values: Arc::new(values), channels: 2 });
                let answer = network.forward(&[sequences.batch.sequence(0)]).expect("it runs")[0];
                (answer - f64::from(sequences.batch.labels()[0])).powi(2)
            };
            let norm = |step: usize| {
                let slope = |place: usize| {
                    let moved = |by: f32| {
                        let mut values = sequences.frames.values.to_vec();
                        values[place] += by;
                        (loss_of(values.clone()), f64::from(values[place]))
                    };
                    let (up, down) = (moved(1e-3), moved(-1e-3));
                    (up.0 - down.0) / (up.1 - down.1)
                };
                slope(2 * step).hypot(slope(2 * step + 1))
            };
            for (back, found) in found.iter().enumerate() {
                let expected = norm(6 - back) / norm(6);
                assert!((found - expected).abs() < 1e-4 * (1.0 + expected), "{cell:?} {back}: {found} and {expected}");
            }
        }
    }

    #[test]
    fn a_short_run_shows_what_a_simple_rnn_loses_and_an_lstm_carries() {
        let plan = Plan { lags: vec![10, 40], seeds: 1, steps: 1_000, units: 12, ..Plan::default() };
        let outcomes = outcomes(&plan);
        assert_eq!(outcomes.len(), 6);
        let of = |cell: Cell, lag: usize| {
            outcomes.iter().find(|outcome| (outcome.cell, outcome.lag) == (cell, lag)).expect("all are there")
        };
        for outcome in &outcomes {
            assert!(outcome.before.len() == outcome.lag + 1 && (outcome.before[0] - 1.0).abs() < 1e-12);
            assert!(outcome.error < 1.5 * CHANCE, "{:?} {}", outcome.cell, outcome.error);
        }
        assert!(Cell::ALL.into_iter().all(|cell| of(cell, 10).is_solved()));
        assert!(of(Cell::Lstm, 40).is_solved() && !of(Cell::Rnn, 40).is_solved());
        let left = |cell| of(cell, 40).after[40];
        assert!(left(Cell::Lstm) > 0.05 && left(Cell::Rnn) < 1e-3, "{:?}", Cell::ALL.map(left));
    }
}
