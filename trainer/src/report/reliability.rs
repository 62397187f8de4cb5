//! Confidence against accuracy.

use super::axis::{Frame, Key, Scale, legend, ticks};
use super::svg::{Anchor, Marker, Picture};
use crate::counted::counted;
use crate::metrics::Reliability;

/// Draws a bar for each bin of the confidence, beside the diagonal on which a calibrated model's bars end.
pub fn picture(reliability: &Reliability) -> Picture {
    let mut picture = Picture::new(640.0, 420.0, "Confidence against accuracy");
    let (left, top, right, bottom) = (60.0, 44.0, 390.0, 366.0);
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::linear((0.0, 1.0), (left, right)),
        y: Scale::linear((0.0, 1.0), (bottom, top)),
    };
    let named = ticks((0.0, 1.0), 5);
    frame.draw(&mut picture, ("confidence: probability of the answer given", "Accuracy"), &named, &named);
    let width = 1.0 / reliability.bins.len().max(1) as f64;
    let filled = reliability.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0);
    for (number, bin) in filled.clone() {
        let (x, y) = (frame.x.at(number as f64 * width), frame.y.at(bin.accuracy));
        let hint =
            format!("{}, confidence {:.3}, accuracy {:.3}", counted(bin.count, "answer"), bin.confidence, bin.accuracy);
        picture.shaded((x + 0.5, y), ((right - left) * width - 1.0, bottom - y), 0.45, "bar", &hint);
    }
    picture.line(&[(left, bottom), (right, top)], "dash");
    for (_, bin) in filled {
        picture.marker((frame.x.at(bin.confidence), frame.y.at(bin.accuracy)), 3.5, Marker::Square, "b");
    }
    let x = right + 26.0;
    let keys = [
        Key::Area("bar", "answers of this confidence"),
        Key::Marker(Marker::Square, "b", "their mean confidence"),
        Key::Line("dash", None, "calibrated"),
    ];
    legend(&mut picture, (x, 60.0), &keys);
    let error = format!("expected error {:.2} %", 100.0 * reliability.calibration_error);
    picture.text((x, 150.0), 13.0, Anchor::Start, "ink", &error);
    picture.text((x, 172.0), 13.0, Anchor::Start, "ink", &format!("Brier score {:.4}", reliability.brier));
    picture
}
