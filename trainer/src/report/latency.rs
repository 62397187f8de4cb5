//! How long a token or a step takes on chips: estimates, each with its band.

use super::axis::{Frame, Key, Scale, Tick, legend};
use super::svg::{Anchor, Marker, Picture, cut};

/// The estimate for one chip, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The chip.
    pub part: String,
    /// The least.
    pub low: f64,
    /// The likely number.
    pub likely: f64,
    /// The most.
    pub high: f64,
}

/// Draws the estimates of the time of a `step`, a token or a step of a series, on a logarithmic axis, in the order that they are given in.
pub fn picture(estimates: &[Estimate], step: &str) -> Picture {
    let (left, top, right, row) = (230.0, 44.0, 740.0, 28.0);
    let bottom = top + row * estimates.len().max(1) as f64 + 8.0;
    let mut picture = Picture::new(960.0, bottom + 48.0, &format!("Estimated time of a {step} by chip"));
    let low = estimates.iter().map(|estimate| estimate.low).fold(f64::INFINITY, f64::min);
    let high = estimates.iter().map(|estimate| estimate.high).fold(0.0, f64::max);
    let range = if low <= high && low > 0.0 { (low * 0.8, high * 1.25) } else { (1.0, 1_000.0) };
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::log(range, (left, right)),
        y: Scale::linear((0.0, estimates.len().max(1) as f64), (top, bottom - 8.0)),
    };
    frame.draw(&mut picture, (&format!("time of a {step}"), ""), &time_ticks(range), &[]);
    for (number, estimate) in estimates.iter().enumerate() {
        let y = frame.y.at(number as f64 + 0.5) + 4.0;
        let [from, at, to] = [estimate.low, estimate.likely, estimate.high].map(|time| frame.x.at(time));
        picture.text((left - 10.0, y + 4.0), 12.0, Anchor::End, "ink", &cut(&estimate.part, 12.0, left - 16.0));
        picture.rect((from, y - 6.0), (to - from, 12.0), 2.0, "bar");
        picture.marker((at, y), 4.5, Marker::Disc, "a");
        let text = format!("{} ({} to {})", in_words(estimate.likely), in_words(estimate.low), in_words(estimate.high));
        picture.text((right + 12.0, y + 4.0), 12.0, Anchor::Start, "soft", &text);
    }
    let keys = [Key::Marker(Marker::Disc, "a", "likely")];
    legend(&mut picture, (left, 20.0), &keys);
    legend(&mut picture, (left + 110.0, 20.0), &[Key::Area("bar", "least to most")]);
    picture
}

/// 1, 2 and 5 times the powers of ten within a range.
fn time_ticks((low, high): (f64, f64)) -> Vec<Tick> {
    let all = (-1..7).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
    let within: Vec<f64> = all.filter(|time| (low..=high).contains(time)).collect();
    // Where there is no room for all of them, the powers of ten are left.
    let few = within.len() <= 8;
    let kept = within.into_iter().filter(|time| few || (time.log10() - time.log10().round()).abs() < 1e-9);
    kept.map(|time| (time, in_words(time))).collect()
}

/// Microseconds in words.
fn in_words(microseconds: f64) -> String {
    if microseconds >= 10_000.0 {
        format!("{:.0} ms", microseconds / 1_000.0)
    } else if microseconds >= 1_000.0 {
        format!("{:.1} ms", microseconds / 1_000.0)
    } else if microseconds >= 10.0 {
        format!("{microseconds:.0} µs")
    } else {
        format!("{microseconds:.1} µs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_has_its_band_beside_it() {
        let estimate = Estimate { part: "Nordic nRF52840".into(), low: 289.0, likely: 379.0, high: 1_440.0 };
        let svg = picture(&[estimate], "token").file();
        assert!(svg.contains("379 µs (289 µs to 1.4 ms)") && svg.contains("Nordic nRF52840"), "{svg}");
        assert!(!picture(&[], "step").file().contains("NaN"));
    }
}
