//! Loss and accuracy by epoch.

use super::axis::{Frame, Key, Scale, legend, ticks, whole_ticks};
use super::svg::{Anchor, Marker, Picture};
use crate::metrics::EpochMetrics;

/// The figures of a run's epochs.
#[derive(Clone, Copy, Debug)]
pub struct Curves<'a> {
    /// All epochs, those that learned with integers last.
    pub metrics: &'a [EpochMetrics],
    /// How many of them learned with integers, and with which.
    pub integers: Option<(usize, &'a str)>,
    /// The labels are values: the accuracy is R².
    pub values: bool,
    /// The best epoch of the floats and of the integers, from 1.
    pub best: &'a [u64],
}

/// Width and height of the picture.
const SIZE: (f64, f64) = (960.0, 340.0);

/// One of the two plots.
struct Panel<'a> {
    name: &'a str,
    left: f64,
    right: f64,
    training: Vec<f64>,
    validation: Vec<f64>,
}

impl Curves<'_> {
    /// Whether there is a validation part: a run of all data has none, and no epoch of it is the best.
    fn are_judged(&self) -> bool {
        self.metrics.is_empty() || self.metrics.iter().any(|epoch| !epoch.valid_loss.is_nan())
    }
}

/// Draws loss and accuracy by epoch, side by side, with the legend beside them.
pub fn picture(curves: &Curves<'_>) -> Picture {
    let mut picture = Picture::new(SIZE.0, SIZE.1, "Loss and accuracy by epoch");
    let all = |get: fn(&EpochMetrics) -> f64| curves.metrics.iter().map(get).collect::<Vec<_>>();
    let percent = |values: Vec<f64>| -> Vec<f64> {
        values.into_iter().map(|value| if curves.values { value } else { 100.0 * value }).collect()
    };
    let [loss, accuracy] =
        if curves.values { ["Loss (share of variance)", "R²"] } else { ["Loss (nats)", "Accuracy (%)"] };
    let panels = [
        Panel {
            name: loss,
            left: 60.0,
            right: 380.0,
            training: all(|epoch| epoch.train_loss),
            validation: all(|epoch| epoch.valid_loss),
        },
        Panel {
            name: accuracy,
            left: 450.0,
            right: 770.0,
            training: percent(all(|epoch| epoch.train_accuracy)),
            validation: percent(all(|epoch| epoch.valid_accuracy)),
        },
    ];
    for panel in &panels {
        draw(&mut picture, panel, curves);
    }
    let with_integers = curves.integers.map(|(_, name)| format!("with {name} weights"));
    let mut keys = vec![Key::Line("la", Some((Marker::Disc, "a")), "training")];
    if curves.are_judged() {
        keys.push(Key::Line("lb", Some((Marker::Square, "b")), "validation"));
        keys.push(Key::Line("dash", None, "best epoch"));
    }
    if let Some(text) = &with_integers {
        keys.push(Key::Area("band", text));
    }
    legend(&mut picture, (796.0, 60.0), &keys);
    picture
}

fn draw(picture: &mut Picture, panel: &Panel<'_>, curves: &Curves<'_>) {
    let (top, bottom) = (44.0, SIZE.1 - 54.0);
    let epochs = curves.metrics.len().max(1);
    let values = || panel.training.iter().chain(&panel.validation).copied().filter(|value| value.is_finite());
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let margin = ((high - low) * 0.06).max(high.abs() * 0.005).max(1e-6);
    let range = (low - margin, high + margin);
    let frame = Frame {
        edges: [panel.left, top, panel.right, bottom],
        x: Scale::linear((0.5, epochs as f64 + 0.5), (panel.left, panel.right)),
        y: Scale::linear(range, (bottom, top)),
    };
    if let Some((count, _)) = curves.integers.filter(|&(count, _)| count > 0) {
        let from = frame.x.at((epochs - count.min(epochs)) as f64 + 0.5);
        picture.rect((from, top), (panel.right - from, bottom - top), 0.0, "band");
    }
    frame.draw(picture, ("epoch", panel.name), &whole_ticks(1, epochs as u64, 12), &ticks(range, 5));
    for &best in curves.best.iter().filter(|_| curves.are_judged()) {
        let x = frame.x.at(best as f64);
        picture.line(&[(x, top), (x, bottom)], "dash");
    }
    let series = [(&panel.training, "a", Marker::Disc), (&panel.validation, "b", Marker::Square)];
    for (values, class, marker) in series {
        let points: Vec<(f64, f64)> = values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
            .map(|(place, &value)| (frame.x.at(place as f64 + 1.0), frame.y.at(value)))
            .collect();
        picture.line(&points, &format!("l{class}"));
        // Markers of many epochs would hide the line.
        for &point in points.iter().filter(|_| points.len() <= 40) {
            picture.marker(point, 3.5, marker, class);
        }
    }
    if curves.metrics.is_empty() {
        let middle = ((panel.left + panel.right) / 2.0, (top + bottom) / 2.0);
        picture.text(middle, 13.0, Anchor::Middle, "soft", "no epoch yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(count: u64) -> Vec<EpochMetrics> {
        let of = |epoch: u64| EpochMetrics {
            epoch,
            train_loss: 1.0 / epoch as f64,
            train_accuracy: 0.9,
            valid_loss: 1.2 / epoch as f64,
            valid_accuracy: 0.8,
            ..EpochMetrics::default()
        };
        (1..=count).map(of).collect()
    }

    #[test]
    fn epochs_are_named_by_whole_numbers_and_the_legend_stands_beside_the_plots() {
        let metrics = epochs(3);
        let svg = picture(&Curves { metrics: &metrics, integers: None, values: false, best: &[2] }).file();
        for name in ["1", "2", "3"] {
            assert!(svg.contains(&format!(">{name}</text>")), "{svg}");
        }
        let epochs = |line: &&str| line.contains("text-anchor=\"middle\"") && line.ends_with(".0</text>");
        assert!(!svg.lines().any(|line| epochs(&line)) && svg.contains("Accuracy (%)"), "{svg}");
        let left = |text: &str| -> f64 {
            let line = svg.lines().find(|line| line.contains(text)).expect("a line of the legend");
            line.split('"').nth(1).and_then(|x| x.parse().ok()).expect("its place")
        };
        assert!(left(">training<") > 770.0 && left(">validation<") > 770.0, "{svg}");
    }

    #[test]
    fn the_epochs_with_integers_are_marked_and_named() {
        let metrics = epochs(5);
        let curves = Curves { metrics: &metrics, integers: Some((2, "int4")), values: false, best: &[3, 5] };
        let svg = picture(&curves).file();
        assert!(svg.contains("with int4 weights") && svg.matches("class=\"band\"").count() == 3, "{svg}");
        // A line at each of the two best epochs in both plots, and one in the legend.
        assert_eq!(svg.matches("class=\"dash\"").count(), 5, "{svg}");
    }

    #[test]
    fn a_run_of_all_data_has_neither_a_validation_curve_nor_a_best_epoch() {
        let of_all = |epoch: &EpochMetrics| EpochMetrics { valid_loss: f64::NAN, valid_accuracy: f64::NAN, ..*epoch };
        let metrics: Vec<EpochMetrics> = epochs(3).iter().map(of_all).collect();
        let svg = picture(&Curves { metrics: &metrics, integers: None, values: false, best: &[3] }).file();
        assert!(svg.contains(">training<") && !svg.contains(">validation<") && !svg.contains("best epoch"), "{svg}");
        assert!(!svg.contains("class=\"dash\"") && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn curves_without_an_epoch_or_with_an_infinite_loss_are_drawn() {
        let mut metrics = epochs(1);
        metrics[0].train_loss = f64::INFINITY;
        for metrics in [&metrics[..], &[]] {
            let svg = picture(&Curves { metrics, integers: None, values: true, best: &[1] }).file();
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        }
    }
}
