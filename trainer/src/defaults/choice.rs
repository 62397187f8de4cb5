//! Which of the models that were tried is taken, and what is said of them.

use serde::{Deserialize, Serialize};

use super::MOST_BYTES;
use crate::config::{ModelConfig, TrainConfig};
use crate::unknown::percent;

/// A difference of losses that is none: where every model is right, they differ in how sure they are.
pub(super) const NOTHING: f64 = 1e-3;

/// What trials say of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The model.
    pub model: ModelConfig,
    /// Bytes of its int8 image.
    pub bytes: usize,
    /// The loss of each answer to texts that were held out, the same ones for every model; empty where the weights have diverged.
    pub losses: Vec<f64>,
    /// The accuracy of all of these answers; of values R².
    pub accuracy: f64,
}

/// What was tried, and what is taken: `trials.json` in the run's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trials {
    /// Texts that were divided.
    pub texts: usize,
    /// Divisions; in each a model learned from one part and was judged by another.
    pub divisions: usize,
    /// Texts that a model learned from.
    pub training: usize,
    /// The models in the order in which they were tried.
    pub models: Vec<Row>,
}

/// A model that was tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The model.
    pub model: ModelConfig,
    /// Bytes of its int8 image.
    pub bytes: usize,
    /// The mean loss of the answers to texts that were held out; `None` where the weights have diverged.
    pub loss: Option<f64>,
    /// Their accuracy; of values R².
    pub accuracy: f64,
    /// Whether it is the one that is taken.
    pub taken: bool,
}

/// The rows of the models that were tried, in their order.
pub(super) fn rows(tried: &[Tried]) -> Vec<Row> {
    let taken = smallest_of_the_best(tried);
    let row = |(number, tried): (usize, &Tried)| Row {
        model: tried.model.clone(),
        bytes: tried.bytes,
        loss: (!tried.losses.is_empty()).then(|| mean(&tried.losses)),
        accuracy: tried.accuracy,
        taken: number == taken,
    };
    tried.iter().enumerate().map(row).collect()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// The standard error of the mean; 0 of fewer than two numbers.
fn standard_error(numbers: &[f64]) -> f64 {
    let (mean, count) = (mean(numbers), numbers.len() as f64);
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    if count < 2.0 { 0.0 } else { (squares / (count - 1.0) / count).sqrt() }
}

/// The number of the smallest model whose loss is within one standard error of the least (Breiman, Friedman, Olshen and Stone, "Classification and
/// Regression Trees", 1984), among those that fit [`MOST_BYTES`] where any does. The error is that of the difference: all models answered the same texts.
fn smallest_of_the_best(tried: &[Tried]) -> usize {
    let any_fits = tried.iter().any(|tried| tried.bytes <= MOST_BYTES && !tried.losses.is_empty());
    let counts = |number: &usize| {
        let tried = &tried[*number];
        !tried.losses.is_empty() && (!any_fits || tried.bytes <= MOST_BYTES)
    };
    let counting = || (0..tried.len()).filter(counts);
    let loss = |number: usize| mean(&tried[number].losses);
    let Some(best) = counting().min_by(|&a, &b| loss(a).total_cmp(&loss(b))) else { return 0 };
    let within = |number: &usize| {
        let pairs = tried[*number].losses.iter().zip(&tried[best].losses);
        let differences: Vec<f64> = pairs.map(|(other, best)| other - best).collect();
        mean(&differences) <= standard_error(&differences).max(NOTHING)
    };
    counting().filter(within).min_by_key(|&number| tried[number].bytes).unwrap_or(best)
}

impl Trials {
    /// The number of the model that is taken.
    pub fn taken(&self) -> usize {
        self.models.iter().position(|row| row.taken).unwrap_or(0)
    }

    /// What was tried, as the rows of a table under their heading: a row a model.
    pub fn rows(&self, config: &TrainConfig) -> Vec<Vec<String>> {
        let values = config.task.has_values();
        let score = |share: f64| if values { format!("{share:.4}") } else { percent(share) };
        let accuracy = if values { "R²" } else { "accuracy" };
        let mut rows = vec![["bytes", config.loss_name(), accuracy, "", "model"].map(str::to_owned).to_vec()];
        rows.extend(self.models.iter().map(|row| {
            let (loss, accuracy) = match row.loss {
                Some(loss) => (format!("{loss:.4}"), score(row.accuracy)),
                None => ("diverged".to_owned(), String::new()),
            };
            let taken = if row.taken { "taken" } else { "" };
            vec![row.bytes.to_string(), loss, accuracy, taken.to_owned(), row.model.to_string()]
        }));
        rows
    }

    /// The same in lines.
    pub fn table(&self, config: &TrainConfig) -> String {
        let rows = self.rows(config);
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths = [width(0).max(6), width(1).max(8), width(2).max(9), width(3).max(5)];
        let line = |row: &Vec<String>| {
            let [bytes, loss, accuracy, taken] = widths;
            format!("{:>bytes$}  {:>loss$}  {:>accuracy$}  {:<taken$}  {}", row[0], row[1], row[2], row[3], row[4])
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_model;

    fn tried(bytes: usize, losses: &[f64]) -> Tried {
        Tried { model: default_model(), bytes, losses: losses.to_vec(), accuracy: 0.5 }
    }

    #[test]
    fn the_smallest_within_one_standard_error_of_the_best_is_taken() {
        let large = tried(50_000, &[0.30, 0.40, 0.35]);
        assert_eq!(smallest_of_the_best(&[large.clone(), tried(9_000, &[0.31, 0.39, 0.36])]), 1);
        assert_eq!(smallest_of_the_best(&[large.clone(), tried(9_000, &[0.40, 0.51, 0.45])]), 0);
        // All are right.
        assert_eq!(smallest_of_the_best(&[tried(50_000, &[1e-6, 1e-6]), tried(9_000, &[2e-4, 2e-4])]), 1);
    }

    #[test]
    fn a_model_beyond_64_kib_is_taken_only_where_none_fits() {
        let large = tried(70_000, &[0.1, 0.2, 0.1]);
        assert_eq!(smallest_of_the_best(&[large.clone(), tried(65_536, &[0.3, 0.4, 0.3])]), 1);
        assert_eq!(smallest_of_the_best(&[tried(90_000, &[0.5, 0.6, 0.9]), large]), 1);
    }

    #[test]
    fn a_model_that_diverged_is_not_taken() {
        let all = [tried(9_000, &[]), tried(50_000, &[0.3, 0.4])];
        assert_eq!(smallest_of_the_best(&all), 1);
        assert_eq!(smallest_of_the_best(&[tried(70_000, &[0.3]), tried(9_000, &[])]), 0);
        let rows = rows(&all);
        assert_eq!((rows[0].loss, rows[0].taken, rows[1].taken), (None, false, true));
    }
}
