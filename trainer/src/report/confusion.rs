//! Labels against answers.

use super::axis::names_width;
use super::svg::{Anchor, Picture, cut};

/// Size of the letters, in pixels.
const LETTERS: f64 = 12.0;

/// Draws a square for each pair of a label (its row) and an answer (its column), darker the larger its share of the row. `counts` is `[label][answer]`,
/// `names` has a name for each class. Squares too small for numbers say theirs to a pointer.
pub fn picture(counts: &[Vec<u64>], names: &[String]) -> Picture {
    let classes = counts.len().max(1);
    let side = (560.0 / classes as f64).clamp(5.0, 84.0).floor();
    let named = side >= LETTERS;
    let beside = if named { names_width(names.iter().map(String::as_str), 40.0, 200.0) } else { 0.0 };
    // Names above the columns stand upright where they fit, else they rise.
    let upright = names.iter().all(|name| names_width([name.as_str()].into_iter(), 0.0, 900.0) <= side - 6.0);
    let above = if !named {
        0.0
    } else if upright {
        18.0
    } else {
        0.75 * beside.min(150.0) + 14.0
    };
    let (left, top) = (beside + 44.0, above + 40.0);
    let edge = side * classes as f64;
    let width = (left + edge + 0.75 * beside + 20.0).max(320.0);
    let mut picture = Picture::new(width, top + edge + 16.0, "Labels against answers");
    picture.text((left, 20.0), LETTERS, Anchor::Start, "soft", "answer →");
    picture.text((left - 12.0, 20.0), LETTERS, Anchor::End, "soft", "label ↓");
    let none = String::new();
    for (label, row) in counts.iter().enumerate() {
        let total: u64 = row.iter().sum();
        let y = top + side * label as f64;
        if named {
            let name = cut(names.get(label).unwrap_or(&none), LETTERS, beside);
            picture.text((left - 10.0, y + side / 2.0 + 4.0), LETTERS, Anchor::End, "ink", &name);
            let x = left + side * (label as f64 + 0.5);
            let name = cut(names.get(label).unwrap_or(&none), LETTERS, if upright { side } else { 150.0 });
            if upright {
                picture.text((x, top - 10.0), LETTERS, Anchor::Middle, "ink", &name);
            } else {
                picture.leaning_text((x, top - 10.0), LETTERS, 45.0, "ink", &name);
            }
        }
        for (answer, &count) in row.iter().enumerate() {
            let share = count as f64 / total.max(1) as f64;
            let x = left + side * answer as f64;
            picture.rect((x, y), (side, side), 0.0, "cell");
            if count > 0 {
                let [label, answer] = [label, answer].map(|class| names.get(class).unwrap_or(&none).as_str());
                let hint = format!("label {label}, answer {answer}: {count} of {total}");
                picture.shaded(
                    (x, y),
                    (side, side),
                    0.08 + 0.92 * share,
                    if label == answer { "a" } else { "b" },
                    &hint,
                );
            }
            if side >= 44.0 {
                let class = if share > 0.5 { "on" } else { "ink" };
                let middle = (x + side / 2.0, y + side / 2.0);
                picture.text((middle.0, middle.1 - 1.0), 13.0, Anchor::Middle, class, &count.to_string());
                let percent = format!("{:.1} %", 100.0 * share);
                picture.text((middle.0, middle.1 + 15.0), 11.0, Anchor::Middle, class, &percent);
            } else if side >= 26.0 && count > 0 {
                let class = if share > 0.5 { "on" } else { "ink" };
                let middle = (x + side / 2.0, y + side / 2.0 + 4.0);
                picture.text(middle, 10.0, Anchor::Middle, class, &count.to_string());
            }
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_classes_have_their_names_their_counts_and_their_shares() {
        let svg = picture(&[vec![90, 10], vec![5, 15]], &["ham".into(), "spam & <b>".into()]).file();
        for text in [">ham<", ">spam &amp; &lt;b&gt;<", ">90<", ">90.0 %<", ">25.0 %<"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }

    #[test]
    fn many_classes_fit_a_page() {
        let classes = 256;
        let counts: Vec<Vec<u64>> = (0..classes).map(|label| vec![label % 3; classes as usize]).collect();
        let names: Vec<String> = (0..classes).map(|class| format!("class number {class}")).collect();
        let (width, height) = picture(&counts, &names).size();
        assert!(width < 1500.0 && height < 1500.0, "{width} x {height}");
        // A label that no text has, and no class at all.
        assert!(!picture(&[vec![0, 0], vec![1, 0]], &names).file().contains("NaN"));
        assert!(!picture(&[], &[]).file().contains("NaN"));
    }
}
