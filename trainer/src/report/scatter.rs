//! Values against their labels: what was predicted, and by how much it was wrong.

use super::axis::{Frame, Key, Scale, legend, ticks};
use super::svg::{Anchor, Marker, Picture};

/// Points that are drawn at most: of more, every so many-th.
const MOST_POINTS: usize = 2_000;

/// Bars of the residuals.
const BARS: usize = 30;

/// Draws a disc for each pair of a label (from left to right) and a predicted value (upwards), beside the diagonal on which right answers lie; and
/// below, how often which residual, value less label, occurs. All in the labels' unit.
pub fn picture(labels: &[f32], values: &[f32]) -> Picture {
    let mut picture = Picture::new(720.0, 680.0, "Predicted values against labels, and their residuals");
    let pairs: Vec<(f64, f64)> = labels
        .iter()
        .zip(values)
        .map(|(&label, &value)| (f64::from(label), f64::from(value)))
        .filter(|(label, value)| label.is_finite() && value.is_finite())
        .collect();
    let (left, right) = (70.0, 470.0);
    let range = spread(pairs.iter().flat_map(|&(label, value)| [label, value]));
    let (top, bottom) = (44.0, 400.0);
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::linear(range, (left, right)),
        y: Scale::linear(range, (bottom, top)),
    };
    let named = ticks(range, 5);
    frame.draw(&mut picture, ("label", "Predicted value"), &named, &named);
    let every = pairs.len().div_ceil(MOST_POINTS).max(1);
    for &(label, value) in pairs.iter().step_by(every) {
        // As it was written: a label has the digits of an f32.
        let hint = format!("label {}, predicted {value:.4}", label as f32);
        picture.point((frame.x.at(label), frame.y.at(value)), 3.0, 0.5, "a", &hint);
    }
    picture.line(&[(left, bottom), (right, top)], "dash");
    let x = right + 26.0;
    let keys = [Key::Marker(Marker::Disc, "a", "an answer"), Key::Line("dash", None, "right answers")];
    legend(&mut picture, (x, 60.0), &keys);
    if every > 1 {
        let drawn = format!("{} of {} are drawn", pairs.len().div_ceil(every), pairs.len());
        picture.text((x, 114.0), 12.0, Anchor::Start, "soft", &drawn);
    }
    residuals(&mut picture, &pairs, (left, right));
    picture
}

/// Draws how often which residual occurs.
fn residuals(picture: &mut Picture, pairs: &[(f64, f64)], (left, right): (f64, f64)) {
    let (top, bottom) = (490.0, 630.0);
    let residual = |&(label, value): &(f64, f64)| value - label;
    // As far to either side, so that a lean to one of them shows.
    let most = pairs.iter().map(|pair| residual(pair).abs()).fold(0.0, f64::max);
    let most = if most > 0.0 { most * 1.02 } else { 1.0 };
    let mut counts = [0_u32; BARS];
    for pair in pairs {
        let bar = (residual(pair) + most) / (2.0 * most) * BARS as f64;
        counts[(bar as usize).min(BARS - 1)] += 1;
    }
    let highest = f64::from(counts.iter().copied().max().unwrap_or(0).max(1));
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::linear((-most, most), (left, right)),
        y: Scale::linear((0.0, highest), (bottom, top)),
    };
    let named: Vec<_> = ticks((0.0, highest), 3).into_iter().filter(|(count, _)| count.fract() == 0.0).collect();
    frame.draw(picture, ("residual: predicted value less label", "Answers"), &ticks((-most, most), 5), &named);
    let width = (right - left) / BARS as f64;
    for (number, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let (x, y) = (left + width * number as f64, frame.y.at(f64::from(count)));
        let from = most * (2.0 * number as f64 / BARS as f64 - 1.0);
        let hint = format!("{count} with a residual from {from:.3} to {:.3}", from + 2.0 * most / BARS as f64);
        picture.shaded((x + 0.5, y), (width - 1.0, bottom - y), 0.45, "bar", &hint);
    }
    let none = frame.x.at(0.0);
    picture.line(&[(none, top), (none, bottom)], "dash");
    let keys = [Key::Area("bar", "answers of this residual"), Key::Line("dash", None, "no error")];
    legend(picture, (right + 26.0, top + 16.0), &keys);
}

/// From the least to the largest of some values, with a margin; never empty.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0.0, 1.0);
    }
    let margin = (0.05 * (high - low)).max(1e-3 * low.abs().max(high.abs())).max(1e-6);
    (low - margin, high + margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_a_point_and_is_in_a_bar_of_the_residuals() {
        let svg = picture(&[1.0, 2.0, 5.0], &[1.5, 2.0, 4.0]).file();
        assert_eq!(svg.matches("fill-opacity=\"0.5\"").count(), 3, "{svg}");
        assert!(svg.contains("label 5, predicted 4.0000") && svg.contains("Predicted value"), "{svg}");
        let bars: u32 = svg
            .split("<title>")
            .filter_map(|part| part.split_once(" with a residual").and_then(|(count, _)| count.parse::<u32>().ok()))
            .sum();
        assert_eq!(bars, 3, "{svg}");
        // The legends stand beside the plots.
        assert!(svg.contains("x=\"530\"") && svg.contains("right answers"), "{svg}");
    }

    #[test]
    fn one_value_no_value_and_very_many_are_drawn() {
        for (labels, values) in
            [(&[][..], &[][..]), (&[3.0], &[3.0]), (&[0.0, 0.0], &[0.0, 0.0]), (&[1.0], &[f32::NAN])]
        {
            let svg = picture(labels, values).file();
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        }
        let many: Vec<f32> = (0..10_000).map(|value| value as f32).collect();
        let svg = picture(&many, &many).file();
        assert!(
            svg.matches("<circle").count() <= MOST_POINTS + 1 && svg.contains("2000 of 10000 are drawn"),
            "{}",
            svg.len()
        );
    }
}
