//! The images of a search: bytes against accuracy.

use super::axis::{Frame, Key, Scale, byte_ticks, legend, ticks};
use super::svg::{Anchor, Marker, Picture};

/// An image of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Bytes of the image.
    pub bytes: usize,
    /// Accuracy on the validation part, 0 to 1; of values R².
    pub accuracy: f64,
    /// No smaller image is as accurate: it is on the Pareto front.
    pub front: bool,
    /// It is the image that the search hands over.
    pub best: bool,
}

/// Draws image bytes on a logarithmic axis, which ends at `flash`, against validation accuracy: the front as a line, the best image by a ring. `points`
/// may come in any order.
pub fn picture(points: &[Point], flash: usize, values: bool) -> Picture {
    let mut picture = Picture::new(960.0, 420.0, "Bytes of the images against their accuracy");
    let (left, top, right, bottom) = (60.0, 44.0, 740.0, 366.0);
    let shown = |point: &Point| if values { point.accuracy } else { 100.0 * point.accuracy };
    let (low, high) = points
        .iter()
        .map(shown)
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
    let margin = ((high - low) * 0.06).max(if values { 0.005 } else { 0.5 });
    let accuracies = (low - margin, high + margin);
    let most = points.iter().map(|point| point.bytes).max().unwrap_or(0).max(flash).max(32) as f64;
    let least = points.iter().map(|point| point.bytes as f64 * 0.9).fold(most / 16.0, f64::min).max(1.0);
    let bytes = (least, most * 1.05);
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::log(bytes, (left, right)),
        y: Scale::linear(accuracies, (bottom, top)),
    };
    let name = if values { "Validation R²" } else { "Validation accuracy (%)" };
    frame.draw(&mut picture, ("bytes of the image", name), &byte_ticks(bytes), &ticks(accuracies, 6));
    let limit = frame.x.at(flash as f64);
    picture.line(&[(limit, top), (limit, bottom)], "dash");
    let at = |point: &Point| (frame.x.at(point.bytes as f64), frame.y.at(shown(point)));
    let mut front: Vec<&Point> = points.iter().filter(|point| point.front).collect();
    front.sort_by_key(|point| point.bytes);
    // From one image of the front to the next, the accuracy that a size gets is the smaller one's.
    let steps: Vec<(f64, f64)> = front
        .windows(2)
        .flat_map(|pair| [at(pair[0]), (at(pair[1]).0, at(pair[0]).1)])
        .chain(front.last().map(|point| at(point)))
        .collect();
    picture.line(&steps, "lb");
    for point in points.iter().filter(|point| !point.front) {
        picture.marker(at(point), 4.0, Marker::Disc, "soft");
    }
    for point in &front {
        picture.marker(at(point), 4.5, Marker::Square, "b");
    }
    if let Some(best) = points.iter().find(|point| point.best) {
        let (x, y) = at(best);
        picture.marker((x, y), 7.0, Marker::Diamond, "c");
        let text = if values { format!("{:.4}", best.accuracy) } else { format!("{:.2} %", 100.0 * best.accuracy) };
        let text = format!("best: {text}, {} bytes", best.bytes);
        let anchor = if x > (left + right) / 2.0 { Anchor::End } else { Anchor::Start };
        let beside = if anchor == Anchor::End { x - 14.0 } else { x + 14.0 };
        picture.text((beside, y - 10.0), 12.0, anchor, "ink", &text);
    }
    let keys = [
        Key::Marker(Marker::Diamond, "c", "best image"),
        Key::Line("lb", Some((Marker::Square, "b")), "Pareto front"),
        Key::Marker(Marker::Disc, "soft", "other images"),
        Key::Line("dash", None, "budget"),
    ];
    legend(&mut picture, (right + 10.0, 60.0), &keys);
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_image_is_marked_and_the_axis_covers_a_decade() {
        let of = |bytes, accuracy, best| Point { bytes, accuracy, front: true, best };
        let svg = picture(&[of(60_000, 0.9, true), of(5_000, 0.8, false)], 65_536, false).file();
        assert!(svg.contains("best: 90.00 %, 60000 bytes"), "{svg}");
        for name in ["8 KiB", "16 KiB", "32 KiB", "64 KiB"] {
            assert!(svg.contains(name), "{name}: {svg}");
        }
    }

    #[test]
    fn images_of_one_size_and_none_at_all_are_drawn() {
        let point = Point { bytes: 700, accuracy: 1.0, front: true, best: true };
        for points in [&[point, point][..], &[point], &[]] {
            let svg = picture(points, 700, true).file();
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
        }
    }
}
