//! Tables of classes for the terminal: how each fares, and what is taken for what. No line is wider than a terminal of 80 columns.

use super::table::{COLUMNS, table};
use crate::metrics::scores::{ClassScore, Scores, mistakes};
use crate::shown::shown;

/// Columns of a class's name.
const NAME: usize = 28;

/// Mistakes that are listed where all pairs of classes would not fit.
const MISTAKES: usize = 20;

/// Classes that stand in a short table.
const SHORT: usize = 12;

/// A name in as many columns at most.
fn short(name: &str, columns: usize) -> String {
    let name = shown(name);
    if name.chars().count() <= columns {
        return name.into_owned();
    }
    name.chars().take(columns - 1).chain(['…']).collect()
}

fn name(names: &[String], class: usize) -> String {
    names.get(class).map_or_else(|| class.to_string(), |name| short(name, NAME))
}

/// Precision, recall, F1 and support as the cells of a row.
pub fn cells(score: &ClassScore) -> [String; 4] {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    [percent(score.precision), percent(score.recall), percent(score.f1), score.support.to_string()]
}

/// The heading of [`cells`].
pub const HEADING: [&str; 5] = ["class", "precision", "recall", "F1", "support"];

fn table_of(scores: &Scores, names: &[String], classes: impl Iterator<Item = usize>) -> String {
    let row = |class: usize| std::iter::once(name(names, class)).chain(cells(&scores.classes[class])).collect();
    table(&std::iter::once(HEADING.map(str::to_owned).to_vec()).chain(classes.map(row)).collect::<Vec<_>>())
}

/// Precision, recall, F1 and support of every class, in the order of their numbers.
pub fn per_class(scores: &Scores, names: &[String]) -> String {
    table_of(scores, names, 0..scores.classes.len())
}

/// The same; of many classes those with the smallest F1 alone, and how many are left out.
pub fn worst_classes(scores: &Scores, names: &[String]) -> String {
    if scores.classes.len() <= SHORT {
        return per_class(scores, names);
    }
    let mut labels: Vec<usize> = (0..scores.classes.len()).filter(|&class| scores.classes[class].support > 0).collect();
    labels.sort_by(|&a, &b| scores.classes[a].f1.total_cmp(&scores.classes[b].f1));
    labels.truncate(SHORT);
    let rest = scores.classes.len() - labels.len();
    table_of(scores, names, labels.into_iter()) + &format!("and {rest} other classes, none of a smaller F1\n")
}

/// Labels against answers: every pair where that fits, else the most frequent mistakes.
pub fn confusion(counts: &[Vec<u64>], names: &[String]) -> String {
    let heading =
        std::iter::once("label \\ answer".to_owned()).chain((0..counts.len()).map(|class| name(names, class)));
    let row = |(class, row): (usize, &Vec<u64>)| {
        std::iter::once(name(names, class)).chain(row.iter().map(u64::to_string)).collect::<Vec<_>>()
    };
    let rows = std::iter::once(heading.collect()).chain(counts.iter().enumerate().map(row)).collect::<Vec<_>>();
    let all = table(&rows);
    if all.lines().all(|line| line.chars().count() <= COLUMNS) {
        return all;
    }
    let found = mistakes(counts, usize::MAX);
    if found.is_empty() {
        return "no mistakes\n".to_owned();
    }
    let mut rows = vec![["label", "answer", "count", "of the label"].map(str::to_owned).to_vec()];
    for &(label, answer, count) in found.iter().take(MISTAKES) {
        let support: u64 = counts[label].iter().sum();
        let share = format!("{:.1} %", 100.0 * count as f64 / support as f64);
        rows.push(vec![name(names, label), name(names, answer), count.to_string(), share]);
    }
    let heading = match found.len() {
        count if count > MISTAKES => format!("the {MISTAKES} most frequent of {count} kinds of mistakes\n"),
        _ => "all mistakes\n".to_owned(),
    };
    heading + &table(&rows)
}

/// Which part of a rare class can be found with so few false alarms as a precision permits, in a sentence: the largest recall of all thresholds.
pub fn rare_recall(class: &str, recall: f64, precision: f64) -> String {
    let (class, precision) = (shown(class), 100.0 * precision);
    if recall == 0.0 {
        return format!("{class}: no threshold reaches a precision of {precision:.0} %");
    }
    format!("{class}: a recall of up to {:.1} % with a precision of {precision:.0} %", 100.0 * recall)
}

/// Which classes are never answered although texts or tokens have them, in a sentence; `None` where none is.
pub fn never_answered(scores: &Scores, names: &[String], things: &str) -> Option<String> {
    let missing = scores.never_answered();
    let count: u64 = missing.iter().map(|&class| scores.classes[class].support).sum();
    let named: Vec<String> = missing.iter().take(SHORT).map(|&class| name(names, class)).collect();
    let more = missing.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let (is, it, label) = if missing.len() == 1 { ("is", "it", "label") } else { ("are", "them", "labels") };
    let named = named.join(", ");
    let have = if count == 1 { "has" } else { "have" };
    (!missing.is_empty()).then(|| {
        format!("{named}{more} {is} never answered, although {count} of these {things} {have} {it} as {label}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|class| format!("a class with a long name, number {class}")).collect()
    }

    #[test]
    fn tables_of_any_number_of_classes_fit_a_terminal() {
        for classes in [2, 5, 20, 256] {
            let counts: Vec<Vec<u64>> = (0..classes)
                .map(|label| (0..classes).map(|answer| ((label * 7 + answer) % 5) as u64).collect())
                .collect();
            let (scores, names) = (Scores::of(&counts), names(classes));
            let texts = [per_class(&scores, &names), worst_classes(&scores, &names), confusion(&counts, &names)];
            for line in texts.iter().flat_map(|text| text.lines()) {
                assert!(line.chars().count() <= COLUMNS, "{line}");
            }
            assert_eq!(texts[0].lines().count(), 2 + classes);
            assert!(texts[1].lines().count() <= 3 + SHORT && texts[2].lines().count() <= 3 + MISTAKES.max(4));
        }
    }

    #[test]
    fn few_classes_have_all_their_pairs_and_many_the_most_frequent_mistakes() {
        let two = confusion(&[vec![90, 10], vec![5, 15]], &["ham".into(), "spam".into()]);
        assert!(two.lines().any(|line| line.split_whitespace().eq(["ham", "90", "10"])), "{two}");
        let mut many = vec![vec![0; 30]; 30];
        many[3][4] = 7;
        many[3][3] = 7;
        let said = confusion(&many, &(0..30).map(|class| format!("c{class}")).collect::<Vec<_>>());
        assert!(said.lines().any(|line| line.split_whitespace().eq(["c3", "c4", "7", "50.0", "%"])), "{said}");
        assert_eq!(confusion(&vec![vec![0; 30]; 30], &names(30)), "no mistakes\n");
    }

    #[test]
    fn a_recall_that_no_threshold_has_is_said_as_such() {
        let said = rare_recall("spam", 0.71, 0.9);
        assert_eq!(said, "spam: a recall of up to 71.0 % with a precision of 90 %");
        assert_eq!(rare_recall("spam", 0.0, 0.9), "spam: no threshold reaches a precision of 90 %");
    }

    #[test]
    fn a_class_that_is_never_answered_is_named_with_how_many_have_it() {
        let names = ["ham".to_owned(), "spam".to_owned()];
        let said = never_answered(&Scores::of(&[vec![90, 0], vec![5, 0]]), &names, "texts").expect("a class");
        assert_eq!(said, "spam is never answered, although 5 of these texts have it as label");
        assert_eq!(never_answered(&Scores::of(&[vec![90, 0], vec![5, 1]]), &names, "texts"), None);
    }
}
