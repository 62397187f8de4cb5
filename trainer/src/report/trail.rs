//! How the answer to one text came about: what the network says after each token.

use super::axis::{Frame, Scale, ticks};
use super::svg::{Anchor, Marker, Picture, cut, width_of};

/// Pixels of a token's name at most.
const LONGEST: f64 = 120.0;

/// A token, and what the network says after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The token; where each has an answer of its own, with that.
    pub token: String,
    /// The probability, or the value.
    pub value: f64,
}

/// Draws `name` after each token; of probabilities from 0 to 1 with the middle marked.
pub fn picture(steps: &[Step], name: &str, probability: bool) -> Picture {
    let (top, height) = (44.0, 220.0);
    let bottom = top + height;
    // As high as the longest token, which rises by 50 degrees, needs.
    let longest = steps.iter().map(|step| width_of(&step.token, 12.0)).fold(20.0, f64::max).min(LONGEST);
    let mut picture = Picture::new(960.0, bottom + 30.0 + 0.77 * longest, &format!("{name} after each token"));
    let (left, right) = (70.0, 940.0);
    let values = || steps.iter().map(|step| step.value);
    let range = if probability {
        (0.0, 1.0)
    } else {
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        let margin = ((high - low) * 0.08).max(0.01);
        if low <= high { (low - margin, high + margin) } else { (0.0, 1.0) }
    };
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::linear((0.0, steps.len().max(1) as f64), (left, right)),
        y: Scale::linear(range, (bottom, top)),
    };
    frame.draw(&mut picture, ("", name), &[], &ticks(range, 5));
    if probability {
        let y = frame.y.at(0.5);
        picture.line(&[(left, y), (right, y)], "dash");
    }
    let at = |(place, step): (usize, &Step)| (frame.x.at(place as f64 + 0.5), frame.y.at(step.value));
    let points: Vec<(f64, f64)> = steps.iter().enumerate().map(at).collect();
    picture.line(&points, "axis");
    for (step, &(x, y)) in steps.iter().zip(&points) {
        let high = !probability || step.value >= 0.5;
        let (marker, class) = if high { (Marker::Disc, "a") } else { (Marker::Square, "b") };
        picture.marker((x, y), 4.5, marker, class);
        picture.line(&[(x, bottom), (x, bottom + 5.0)], "axis");
        picture.rising_text((x + 5.0, bottom + 17.0), 12.0, 50.0, "ink", &cut(&step.token, 12.0, LONGEST));
    }
    if steps.is_empty() {
        picture.text(((left + right) / 2.0, (top + bottom) / 2.0), 13.0, Anchor::Middle, "soft", "no known token");
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_stands_below_its_probability() {
        let step = |token: &str, value| Step { token: token.into(), value };
        let svg = picture(&[step("not", 0.3), step("<good>", 0.8)], "Probability of good", true).file();
        assert!(svg.contains(">not</text>") && svg.contains(">&lt;good&gt;</text>"), "{svg}");
        assert!(svg.contains("Probability of good") && svg.matches("<circle").count() == 1, "{svg}");
        for steps in [&[][..], &[step("a", 2.5)]] {
            assert!(!picture(steps, "value", false).file().contains("NaN"));
        }
    }
}
