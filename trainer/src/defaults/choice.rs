//! Which of the models that were tried is taken, and what is said of them.

use serde::{Deserialize, Serialize};

use super::MOST_BYTES;
use crate::config::{ModelConfig, Select, TrainConfig};
use crate::metrics::scores::Scores;
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
    /// The label of each of them and the class that was answered; empty of values.
    pub answers: Vec<(usize, usize)>,
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
    /// What chose.
    pub select: Select,
    /// The taken model once more, with smoothed class weights; `None` where these were not tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoothed: Option<Row>,
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
    /// The mean of the classes' F1; `None` of values.
    pub macro_f1: Option<f64>,
    /// Whether it is the one that is taken.
    pub taken: bool,
}

/// The rows of the models that were tried, in their order.
pub(super) fn rows(tried: &[Tried], select: Select) -> Vec<Row> {
    let taken = smallest_of_the_best(tried, select);
    let row = |(number, tried): (usize, &Tried)| Row {
        model: tried.model.clone(),
        bytes: tried.bytes,
        loss: (!tried.losses.is_empty()).then(|| mean(&tried.losses)),
        accuracy: tried.accuracy,
        macro_f1: (!tried.answers.is_empty()).then(|| macro_f1(tried.answers.iter())),
        taken: number == taken,
    };
    tried.iter().enumerate().map(row).collect()
}

/// The row of the taken model with smoothed class weights. It is taken where the macro F1 gains more than one standard error of the difference, and the accuracy
/// loses no more than one.
pub(super) fn smoothed_row(plain: &Tried, smoothed: &Tried) -> Row {
    let mut row = rows(std::slice::from_ref(smoothed), Select::Loss).remove(0);
    let gains = || {
        let (more, error) = smoothed.beyond(plain, Select::MacroF1);
        let (worse, error_of_it) = smoothed.beyond(plain, Select::Accuracy);
        -more > error && worse <= error_of_it
    };
    row.taken = !smoothed.answers.is_empty() && !plain.answers.is_empty() && gains();
    row
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

/// The mean of the classes' F1 of labels with their answers.
fn macro_f1<'a>(answers: impl Iterator<Item = &'a (usize, usize)> + Clone) -> f64 {
    let classes = answers.clone().map(|&(label, answer)| label.max(answer) + 1).max().unwrap_or(0);
    let mut confusion = vec![vec![0_u64; classes]; classes];
    answers.for_each(|&(label, answer)| confusion[label][answer] += 1);
    Scores::of(&confusion).macro_f1
}

/// Groups of answers of a jackknife.
const GROUPS: usize = 20;

impl Tried {
    /// What a run selects its best epoch by, the less the better: the mean loss, the share of wrong answers, or what the macro F1 lacks.
    fn cost(&self, select: Select) -> f64 {
        match select {
            Select::Loss | Select::Last => mean(&self.losses),
            Select::Accuracy => mean(&self.errors()),
            Select::MacroF1 => 1.0 - macro_f1(self.answers.iter()),
        }
    }

    /// 1 for each wrong answer and 0 for each right one.
    fn errors(&self) -> Vec<f64> {
        self.answers.iter().map(|(label, answer)| f64::from(u8::from(label != answer))).collect()
    }

    /// How much more this model costs than another one, and the standard error of that: all models answered the same texts. That of F1, which no single answer has,
    /// is the jackknife's, leaving out one group of answers at a time (Tukey 1958).
    fn beyond(&self, other: &Tried, select: Select) -> (f64, f64) {
        let pairs = |own: &[f64], other: &[f64]| {
            let differences: Vec<f64> = own.iter().zip(other).map(|(own, other)| own - other).collect();
            (mean(&differences), standard_error(&differences))
        };
        match select {
            Select::Loss | Select::Last => pairs(&self.losses, &other.losses),
            Select::Accuracy => pairs(&self.errors(), &other.errors()),
            Select::MacroF1 => {
                let without = |tried: &Tried, group: usize| {
                    let rest = tried.answers.iter().enumerate().filter(move |(answer, _)| answer % GROUPS != group);
                    macro_f1(rest.map(|(_, answer)| answer))
                };
                let differences: Vec<f64> =
                    (0..GROUPS).map(|group| without(other, group) - without(self, group)).collect();
                (self.cost(select) - other.cost(select), (GROUPS - 1) as f64 * standard_error(&differences))
            }
        }
    }
}

/// The number of the smallest model that is within one standard error of the best (Breiman, Friedman, Olshen and Stone, "Classification and Regression
/// Trees", 1984) in what a run selects by, among those that fit [`MOST_BYTES`] where any does.
fn smallest_of_the_best(tried: &[Tried], select: Select) -> usize {
    let any_fits = tried.iter().any(|tried| tried.bytes <= MOST_BYTES && !tried.losses.is_empty());
    let counts = |number: &usize| {
        let tried = &tried[*number];
        !tried.losses.is_empty() && (!any_fits || tried.bytes <= MOST_BYTES)
    };
    let counting = || (0..tried.len()).filter(counts);
    let costs: Vec<f64> = tried.iter().map(|tried| tried.cost(select)).collect();
    let Some(best) = counting().min_by(|&a, &b| costs[a].total_cmp(&costs[b])) else { return 0 };
    let within = |number: &usize| {
        let (more, error) = tried[*number].beyond(&tried[best], select);
        more <= error.max(NOTHING)
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
        let of_f1 = self.select == Select::MacroF1;
        let row = |bytes: String, loss: String, accuracy: String, f1: String, taken: &str, model: String| {
            let scores = [bytes, loss, accuracy].into_iter().chain(of_f1.then_some(f1));
            scores.chain([taken.to_owned(), model]).collect::<Vec<String>>()
        };
        let name = str::to_owned;
        let heading = row(name("bytes"), name(config.loss_name()), name(accuracy), name("macro F1"), "", name("model"));
        let rows = self.models.iter().map(|tried| {
            let (loss, accuracy, f1) = match tried.loss {
                Some(loss) => {
                    (format!("{loss:.4}"), score(tried.accuracy), percent(tried.macro_f1.unwrap_or_default()))
                }
                None => ("diverged".to_owned(), String::new(), String::new()),
            };
            let taken = if tried.taken { "taken" } else { "" };
            row(tried.bytes.to_string(), loss, accuracy, f1, taken, tried.model.to_string())
        });
        std::iter::once(heading).chain(rows).collect()
    }

    /// The same in lines.
    pub fn table(&self, config: &TrainConfig) -> String {
        const LEAST: [usize; 3] = [6, 8, 9];
        let rows = self.rows(config);
        let scores = rows[0].len() - 2;
        let width = |column: usize| {
            let widest = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
            widest.max(LEAST.get(column).copied().unwrap_or(5))
        };
        let widths: Vec<usize> = (0..=scores).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row[..scores].iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}  "));
            let taken = widths[scores];
            format!("{}{:<taken$}  {}", cells.collect::<String>(), row[scores], row[scores + 1])
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What smoothed class weights did, in a line; `None` where they were not tried.
    pub fn weights_words(&self) -> Option<String> {
        let (plain, smoothed) = (self.models.iter().find(|row| row.taken)?, self.smoothed.as_ref()?);
        let figures = |row: &Row| {
            format!("macro F1 {}, accuracy {}", percent(row.macro_f1.unwrap_or_default()), percent(row.accuracy))
        };
        let (with, without) = (figures(smoothed), figures(plain));
        Some(if smoothed.taken {
            format!(
                "the classes differ much in size: texts of rare ones count more (--class-weights smoothed: {with}; none: {without})"
            )
        } else {
            format!(
                "the classes differ much in size, but more weight for rare ones gains nothing sure (--class-weights smoothed: {with}; none: {without})"
            )
        })
    }

    /// What the taken model was chosen by, in words.
    pub fn chosen_by(&self) -> &'static str {
        match self.select {
            Select::Loss | Select::Last => "the least loss",
            Select::Accuracy => "the highest accuracy",
            Select::MacroF1 => "the highest macro F1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_model;

    fn tried(bytes: usize, losses: &[f64]) -> Tried {
        Tried { model: default_model(), bytes, losses: losses.to_vec(), answers: Vec::new(), accuracy: 0.5 }
    }

    fn smallest_of(tried: &[Tried]) -> usize {
        smallest_of_the_best(tried, Select::Loss)
    }

    /// A model that has the least loss, and answers so many of 20 texts of a rare class and so many of 180 others right.
    fn answering(bytes: usize, rare: usize, others: usize, loss: f64) -> Tried {
        let answer = |text: usize| {
            let (label, right) = if text < 20 { (1, text < rare) } else { (0, text - 20 < others) };
            (label, if right { label } else { 1 - label })
        };
        // Both classes are in each group of the jackknife.
        let order = |text: usize| text * 7 % 200;
        Tried { answers: (0..200).map(order).map(answer).collect(), ..tried(bytes, &[loss, loss + 0.01]) }
    }

    #[test]
    fn the_model_is_chosen_by_what_the_run_selects_its_best_epoch_by() {
        let all = [answering(9_000, 0, 180, 0.1), answering(20_000, 17, 170, 0.2), answering(30_000, 16, 172, 0.3)];
        assert_eq!(smallest_of_the_best(&all, Select::Loss), 0);
        // 180, 187 and 188 of 200 are right: the first is not within one standard error of the best, the second is.
        assert_eq!(smallest_of_the_best(&all, Select::Accuracy), 1);
        assert_eq!(smallest_of_the_best(&all, Select::MacroF1), 1);
        let never = [answering(9_000, 0, 180, 0.1), answering(20_000, 18, 150, 0.2)];
        assert_eq!(smallest_of_the_best(&never, Select::Accuracy), 0);
        assert_eq!(smallest_of_the_best(&never, Select::MacroF1), 1);
        let f1 = rows(&never, Select::MacroF1)[1].macro_f1.expect("classes");
        let (rare, others) = (2.0 * 18.0 / (20.0 + 48.0), 2.0 * 150.0 / (180.0 + 152.0));
        assert!((f1 - (rare + others) / 2.0).abs() < 1e-12, "{f1}");
    }

    #[test]
    fn smoothed_weights_are_taken_where_rare_classes_gain_and_accuracy_does_not_lose() {
        let plain = answering(9_000, 4, 176, 0.1);
        assert!(smoothed_row(&plain, &answering(9_000, 14, 170, 0.4)).taken);
        // As many rare ones are found, but at the price of the others.
        assert!(!smoothed_row(&plain, &answering(9_000, 14, 150, 0.1)).taken);
        assert!(!smoothed_row(&plain, &answering(9_000, 4, 176, 0.1)).taken);
        assert!(!smoothed_row(&plain, &tried(9_000, &[])).taken, "diverged");
    }

    #[test]
    fn the_smallest_within_one_standard_error_of_the_best_is_taken() {
        let large = tried(50_000, &[0.30, 0.40, 0.35]);
        assert_eq!(smallest_of(&[large.clone(), tried(9_000, &[0.31, 0.39, 0.36])]), 1);
        assert_eq!(smallest_of(&[large.clone(), tried(9_000, &[0.40, 0.51, 0.45])]), 0);
        // All are right.
        assert_eq!(smallest_of(&[tried(50_000, &[1e-6, 1e-6]), tried(9_000, &[2e-4, 2e-4])]), 1);
    }

    #[test]
    fn a_model_beyond_64_kib_is_taken_only_where_none_fits() {
        let large = tried(70_000, &[0.1, 0.2, 0.1]);
        assert_eq!(smallest_of(&[large.clone(), tried(65_536, &[0.3, 0.4, 0.3])]), 1);
        assert_eq!(smallest_of(&[tried(90_000, &[0.5, 0.6, 0.9]), large]), 1);
    }

    #[test]
    fn a_model_that_diverged_is_not_taken() {
        let all = [tried(9_000, &[]), tried(50_000, &[0.3, 0.4])];
        assert_eq!(smallest_of(&all), 1);
        assert_eq!(smallest_of(&[tried(70_000, &[0.3]), tried(9_000, &[])]), 0);
        let rows = rows(&all, Select::Loss);
        assert_eq!((rows[0].loss, rows[0].taken, rows[1].taken), (None, false, true));
    }
}
