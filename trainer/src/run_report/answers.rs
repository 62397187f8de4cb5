//! What an image answers, text by text.

use std::collections::HashMap;

use crate::dataset::{Example, Label, Labels, Task};
use crate::evaluate::Evaluation;
use crate::metrics::{class_of, cross_entropy, probabilities};

/// Answers, and how they are called.
pub(super) struct Shown<'a> {
    pub(super) evaluation: &'a Evaluation,
    pub(super) task: Task,
    pub(super) names: &'a [String],
    /// What each is an answer to: a text, or a series.
    pub(super) thing: &'static str,
}

/// The logits and the labels of each text.
fn by_text<'e>(
    evaluation: &'e Evaluation,
    texts: &'e [Example<Label>],
) -> impl Iterator<Item = (&'e [f32], &'e [f32])> {
    let mut at = 0;
    texts.iter().map(move |example| {
        let (from, count) = (at, example.label.numbers().len());
        at += count;
        let logits = &evaluation.logits[from * evaluation.outputs..at * evaluation.outputs];
        (logits, &evaluation.labels[from..at])
    })
}

/// Whether each text was answered right, all of its tokens where each has an answer; of values none is.
pub(super) fn right(evaluation: &Evaluation, texts: &[Example<Label>]) -> Vec<bool> {
    if evaluation.errors.is_some() {
        return vec![false; texts.len()];
    }
    let right = |(logits, labels): (&[f32], &[f32])| {
        logits.chunks_exact(evaluation.outputs).zip(labels).all(|(logits, &label)| class_of(logits) == label as usize)
    };
    by_text(evaluation, texts).map(right).collect()
}

/// The `count` texts of the largest loss, as rows under a heading, equal ones as one row: the mean loss of a text's tokens where each has an answer, of values the squared error.
pub(super) fn worst(shown: &Shown<'_>, texts: &[Example<Label>], count: usize) -> Vec<Vec<String>> {
    let &Shown { evaluation, task, thing, .. } = shown;
    let loss = |(logits, labels): (&[f32], &[f32])| -> f64 {
        let one = |(logits, &label): (&[f32], &f32)| match task.has_values() {
            true => f64::from(logits[0] - label).powi(2),
            false => cross_entropy(logits, label),
        };
        logits.chunks_exact(evaluation.outputs).zip(labels).map(one).sum::<f64>() / labels.len().max(1) as f64
    };
    let answers: Vec<(&[f32], &[f32])> = by_text(evaluation, texts).collect();
    let mut order: Vec<(f64, usize)> =
        answers.iter().map(|&answer| loss(answer)).enumerate().map(|(place, loss)| (loss, place)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    // A text that occurs again with the same label is one line, with its count.
    let mut counts: HashMap<(&str, Vec<u32>), usize> = HashMap::new();
    let key = |place: usize| -> (&str, Vec<u32>) {
        (&texts[place].text, answers[place].1.iter().map(|label| label.to_bits()).collect())
    };
    order.retain(|&(_, place)| {
        let count = counts.entry(key(place)).or_default();
        *count += 1;
        *count == 1
    });
    let heading: &[&str] = match (task.has_values(), task.each_step()) {
        (true, _) => &["label", "answer", "squared error", "count", thing],
        (false, true) => &["wrong answers", "mean loss", "count", thing],
        (false, false) => &["label", "answer", "probability of the answer", "loss", "count", thing],
    };
    let mut rows = vec![heading.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()];
    for &(loss, place) in order.iter().take(count) {
        let (logits, labels) = answers[place];
        let mut row = described(shown, logits, labels);
        row.push(format!("{loss:.4}"));
        row.push(counts.get(&key(place)).map_or(1, |count| *count).to_string());
        row.push(texts[place].text.clone());
        rows.push(row);
    }
    rows
}

/// The label and the answer of a text, in words.
fn described(shown: &Shown<'_>, logits: &[f32], labels: &[f32]) -> Vec<String> {
    let &Shown { evaluation, task, names, .. } = shown;
    let label = labels.first().copied().unwrap_or_default();
    if task.each_step() {
        let answers = logits.chunks_exact(evaluation.outputs).zip(labels);
        let wrong = match task.has_values() {
            true => return vec![format!("{} values", labels.len()), String::new()],
            false => answers.filter(|(logits, label)| class_of(logits) != **label as usize).count(),
        };
        return vec![format!("{wrong} of {}", labels.len())];
    }
    if task.has_values() {
        return vec![format!("{label}"), format!("{:.4}", logits[0])];
    }
    let class = class_of(logits);
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    vec![name(label as usize), name(class), format!("{:.3}", probabilities(logits)[class])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(logits: &[f32], labels: &[f32], outputs: usize) -> Evaluation {
        Evaluation { logits: logits.to_vec(), labels: labels.to_vec(), outputs, ..Evaluation::default() }
    }

    #[test]
    fn the_worst_answers_are_those_that_were_surest_of_what_is_wrong() {
        let evaluation = evaluation(&[3.0, -2.0, 0.1, -4.0, 3.0], &[0.0, 0.0, 1.0, 1.0, 0.0], 1);
        let texts: Vec<Example<Label>> = [(0, "a"), (0, "b"), (1, "c"), (1, "d"), (0, "a")]
            .map(|(label, text)| Example::new(Label::Class(label), text))
            .to_vec();
        let names = ["negative", "positive"].map(str::to_owned);
        let shown = Shown { evaluation: &evaluation, task: Task::Classify(2), names: &names, thing: "text" };
        let rows = worst(&shown, &texts, 2);
        assert_eq!(rows[1], ["positive", "negative", "0.982", "4.0181", "1", "d"]);
        assert_eq!(rows[2], ["negative", "positive", "0.953", "3.0486", "2", "a"]);
        assert_eq!(rows.len(), 3);
        assert_eq!(worst(&shown, &texts, 9).len(), 5, "equal texts are one line");
        assert_eq!(right(&evaluation, &texts), [false, true, true, false, false]);
    }

    #[test]
    fn where_each_token_has_an_answer_the_tokens_of_a_text_count_together() {
        let evaluation = evaluation(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0], &[0.0, 1.0, 1.0], 2);
        let texts: Vec<Example<Label>> =
            vec![Example::new(Label::Each(vec![0.0, 1.0]), "x y"), Example::new(Label::Each(vec![1.0]), "z")];
        assert_eq!(right(&evaluation, &texts), [true, false]);
    }
}
