//! How each class fares: precision, recall and F1, and which one threshold serves a rare class best.
//!
//! ```text
//! precision = right / answers with the class      recall = right / labels with the class      F1 = 2·right / (answers + labels)
//! ```
//!
//! A share of nothing is 0. Means over classes leave out classes that are neither a label nor an answer, as scikit-learn does.

use serde::Serialize;

use super::class_of;

/// How one class fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClassScore {
    /// The share of the answers with this class that are right.
    pub precision: f64,
    /// The share of the labels with this class that are answered so.
    pub recall: f64,
    /// The harmonic mean of both.
    pub f1: f64,
    /// Labels with this class.
    pub support: u64,
    /// Answers with this class.
    pub answered: u64,
}

/// How all classes fare.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Each class, in the order of their numbers.
    pub classes: Vec<ClassScore>,
    /// The share of answers that are right.
    pub accuracy: f64,
    /// The mean of the classes' F1.
    pub macro_f1: f64,
    /// The mean of the recalls of classes that are a label.
    pub balanced_accuracy: f64,
}

/// `[label][answer]` of logits, `outputs` for each answer; labels that are NaN do not count.
pub fn confusion(logits: &[f32], labels: &[f32], outputs: usize) -> Vec<Vec<u64>> {
    let classes = outputs.max(2);
    let mut counts = vec![vec![0; classes]; classes];
    for (logits, &label) in logits.chunks_exact(outputs).zip(labels).filter(|(_, label)| !label.is_nan()) {
        counts[label as usize][class_of(logits)] += 1;
    }
    counts
}

impl Scores {
    /// The scores of a confusion, `[label][answer]`.
    pub fn of(confusion: &[Vec<u64>]) -> Self {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let classes: Vec<ClassScore> = (0..confusion.len())
            .map(|class| {
                let right = confusion[class][class];
                let support = confusion[class].iter().sum();
                let answered = confusion.iter().map(|row| row[class]).sum();
                let (precision, recall) = (share(right, answered), share(right, support));
                ClassScore { precision, recall, f1: share(2 * right, answered + support), support, answered }
            })
            .collect();
        let mean = |counts: &dyn Fn(&ClassScore) -> bool, score: &dyn Fn(&ClassScore) -> f64| {
            let counted: Vec<f64> = classes.iter().filter(|class| counts(class)).map(score).collect();
            counted.iter().sum::<f64>() / counted.len().max(1) as f64
        };
        let macro_f1 = mean(&|class| class.support + class.answered > 0, &|class| class.f1);
        let balanced_accuracy = mean(&|class| class.support > 0, &|class| class.recall);
        let right = (0..confusion.len()).map(|class| confusion[class][class]).sum();
        let accuracy = share(right, confusion.iter().flatten().sum());
        Scores { classes, accuracy, macro_f1, balanced_accuracy }
    }

    /// The classes that are a label and never an answer.
    pub fn never_answered(&self) -> Vec<usize> {
        let never = |class: &ClassScore| class.support > 0 && class.answered == 0;
        (0..self.classes.len()).filter(|&class| never(&self.classes[class])).collect()
    }
}

/// The most frequent mistakes of a confusion, as label, answer and count, the most frequent first: `most` of them at most.
pub fn mistakes(confusion: &[Vec<u64>], most: usize) -> Vec<(usize, usize, u64)> {
    let cells = confusion
        .iter()
        .enumerate()
        .flat_map(|(label, row)| row.iter().enumerate().map(move |(answer, &count)| (label, answer, count)));
    let mut cells: Vec<_> = cells.filter(|(label, answer, count)| label != answer && *count > 0).collect();
    cells.sort_by_key(|&(label, answer, count)| (std::cmp::Reverse(count), label, answer));
    cells.truncate(most);
    cells
}

/// The class of two that fewer labels have; the second where both have as many.
pub fn rarer(labels: &[f32]) -> usize {
    let second = labels.iter().filter(|&&label| label > 0.5).count();
    usize::from(2 * second <= labels.len())
}

/// What a threshold on single logits does for one of two classes: from the surest answer on, how many are taken and how many of them are right, and the
/// logits of the last that is taken and of the first that is not. Equal logits are taken together.
fn cuts(logits: &[f32], labels: &[f32], class: usize) -> Vec<(u64, u64, f32, Option<f32>)> {
    let sign = if class == 1 { 1.0 } else { -1.0 };
    let mut order: Vec<(f32, bool)> =
        logits.iter().zip(labels).map(|(&logit, &label)| (sign * logit, (label > 0.5) == (class == 1))).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut taken, mut right) = (0, 0);
    let mut cuts = Vec::new();
    for (at, &(logit, hit)) in order.iter().enumerate() {
        taken += 1;
        right += u64::from(hit);
        let next = order.get(at + 1).map(|next| next.0);
        if next != Some(logit) {
            cuts.push((taken, right, sign * logit, next.map(|next| sign * next)));
        }
    }
    cuts
}

/// The largest recall of one of two classes, from single logits, among the thresholds whose precision is at least this; 0 where there is none, `None` where no
/// label has the class.
pub fn recall_at_precision(logits: &[f32], labels: &[f32], class: usize, precision: f64) -> Option<f64> {
    let support = labels.iter().filter(|&&label| (label > 0.5) == (class == 1)).count();
    let precise = |(taken, right, ..): &(u64, u64, f32, Option<f32>)| *right as f64 >= precision * *taken as f64;
    let right = cuts(logits, labels, class).iter().filter(|cut| precise(cut)).map(|cut| cut.1).max().unwrap_or(0);
    (support > 0).then(|| right as f64 / support as f64)
}

/// The threshold on single logits with the largest F1 of one of two classes, and that F1: the second class is answered from it on. It lies in the middle between two
/// logits; of equally good ones it is the nearest to 0. `None` where no label has the class.
pub fn best_f1(logits: &[f32], labels: &[f32], class: usize) -> Option<(f32, f64)> {
    let support = labels.iter().filter(|&&label| (label > 0.5) == (class == 1)).count() as u64;
    let f1 = |taken: u64, right: u64| 2.0 * right as f64 / (taken + support) as f64;
    let outermost = if class == 1 { -1.0 } else { 1.0 };
    let found = cuts(logits, labels, class).into_iter().map(|(taken, right, last, next)| {
        // Behind the last of all there is nothing to lie between.
        let next = next.unwrap_or(last + outermost);
        (last / 2.0 + next / 2.0, f1(taken, right))
    });
    let better = |a: &(f32, f64), b: &(f32, f64)| a.1.total_cmp(&b.1).then(b.0.abs().total_cmp(&a.0.abs()));
    found.filter(|_| support > 0).max_by(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_scikit_learn() {
        // precision_recall_fscore_support, f1_score(average="macro") and balanced_accuracy_score of scikit-learn 1.5 with zero_division=0.
        let scores = Scores::of(&[vec![5, 1, 0, 0], vec![2, 1, 0, 0], vec![1, 0, 0, 0], vec![0, 0, 0, 0]]);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        for (class, expected) in
            [(0, [0.625, 0.833_333_333_333, 0.714_285_714_286]), (1, [0.5, 0.333_333_333_333, 0.4])]
        {
            let ClassScore { precision, recall, f1, .. } = scores.classes[class];
            [precision, recall, f1].into_iter().zip(expected).for_each(|(found, expected)| close(found, expected));
        }
        close(scores.macro_f1, 0.371_428_571_429);
        close(scores.balanced_accuracy, 0.388_888_888_889);
        assert_eq!(scores.classes.iter().map(|class| class.support).collect::<Vec<_>>(), [6, 3, 1, 0]);
        // The last class is no label, so that nobody misses it.
        assert_eq!(scores.never_answered(), [2]);
        assert_eq!(Scores::of(&[]), Scores::default());
    }

    #[test]
    fn a_confusion_counts_labels_by_answers_and_leaves_out_what_has_none() {
        let counts = confusion(&[0.5, -0.5, 1.0, -2.0], &[1.0, 1.0, f32::NAN, 0.0], 1);
        assert_eq!(counts, [[1, 0], [1, 1]]);
        assert_eq!(mistakes(&[vec![9, 2, 5], vec![0, 9, 1], vec![5, 0, 9]], 3), [(0, 2, 5), (2, 0, 5), (0, 1, 2)]);
    }

    #[test]
    fn the_best_threshold_is_found_for_either_class_and_lies_between_two_logits() {
        let (logits, labels) = ([-3.0, -2.0, -1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0]);
        // Of 2/3 at 0.5 and 4/5 at -1.5 the latter is the better one.
        assert_eq!(best_f1(&logits, &labels, 1), Some((-1.5, 0.8)));
        let mirrored = logits.map(|logit: f32| -logit);
        let swapped = labels.map(|label: f32| 1.0 - label);
        assert_eq!(best_f1(&mirrored, &swapped, 0), Some((1.5, 0.8)));
        // All of one class, and equal logits, which no threshold can part.
        assert_eq!(best_f1(&[1.0, 1.0], &[1.0, 1.0], 1).map(|best| best.1), Some(1.0));
        assert_eq!(best_f1(&[2.0, 2.0], &[1.0, 0.0], 1), Some((1.0 + 0.5, 2.0 / 3.0)));
        assert_eq!(best_f1(&[1.0], &[0.0], 1), None);
        assert_eq!((rarer(&labels), rarer(&swapped), rarer(&[0.0, 1.0])), (1, 0, 1));
    }

    #[test]
    fn the_recall_at_a_precision_is_the_largest_of_all_thresholds() {
        let (logits, labels) = ([5.0, 4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 0.0, 1.0, 0.0]);
        for (precision, recall) in [(0.9, 2.0 / 3.0), (0.75, 1.0), (0.5, 1.0)] {
            assert_eq!(recall_at_precision(&logits, &labels, 1, precision), Some(recall), "{precision}");
        }
        assert_eq!(recall_at_precision(&[1.0, 2.0], &[1.0, 0.0], 1, 0.9), Some(0.0));
        assert_eq!(recall_at_precision(&[1.0, 2.0], &[0.0, 0.0], 1, 0.9), None);
    }
}
