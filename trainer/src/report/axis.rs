//! Axes: where a value lies, which values are named, and how they are written.

use super::svg::{Anchor, Marker, Picture, width_of};

/// Size of the letters at an axis, in pixels.
const LETTERS: f64 = 12.0;

/// From values to pixels along one direction.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    values: (f64, f64),
    pixels: (f64, f64),
    log: bool,
}

impl Scale {
    /// Equal steps of the value are equal steps on the paper.
    pub fn linear(values: (f64, f64), pixels: (f64, f64)) -> Self {
        Scale { values, pixels, log: false }
    }

    /// Equal ratios of the value, which is positive, are equal steps on the paper.
    pub fn log(values: (f64, f64), pixels: (f64, f64)) -> Self {
        Scale { values, pixels, log: true }
    }

    /// Where a value lies.
    pub fn at(&self, value: f64) -> f64 {
        let Scale { values: (low, high), pixels: (from, to), log } = *self;
        let share = if log { (value / low).ln() / (high / low).ln() } else { (value - low) / (high - low) };
        from + (to - from) * if share.is_finite() { share } else { 0.5 }
    }
}

/// A named value of an axis.
pub type Tick = (f64, String);

/// About `count` round values within `low` and `high`: multiples of 1, 2 or 5 times a power of ten, written with as many digits as they need.
pub fn ticks((low, high): (f64, f64), count: usize) -> Vec<Tick> {
    let rough = (high - low) / count.max(1) as f64;
    if !(rough.is_finite() && rough > 0.0) {
        return vec![(low, format!("{low:.2}"))];
    }
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|&step| step >= rough * 0.7);
    let step = step.unwrap_or(10.0 * power);
    let digits = (-(step.log10() + 1e-9).floor()).max(0.0) as usize;
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|number| number as f64 * step).map(|value| (value, format!("{value:.digits$}"))).collect()
}

/// Whole numbers from `first` to `last`, at most `count` of them, in equal steps.
pub fn whole_ticks(first: u64, last: u64, count: u64) -> Vec<Tick> {
    let span = last.saturating_sub(first) + 1;
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500].into_iter().find(|step| span.div_ceil(*step) <= count.max(1));
    let step = step.unwrap_or(span.div_ceil(count.max(1)));
    let begin = if step == 1 { first } else { first.next_multiple_of(step) };
    (begin..=last).step_by(step as usize).map(|value| (value as f64, value.to_string())).collect()
}

/// Powers of two of bytes within `low` and `high`.
pub fn byte_ticks((low, high): (f64, f64)) -> Vec<Tick> {
    let powers = (4..=32).map(|power| 2_f64.powi(power)).filter(|&bytes| bytes >= low * 0.999 && bytes <= high * 1.001);
    powers.map(|bytes| (bytes, bytes_in_words(bytes))).collect()
}

/// Bytes in the largest unit of which there is at least one.
fn bytes_in_words(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    if bytes >= KIB * KIB {
        format!("{:.0} MiB", bytes / KIB / KIB)
    } else if bytes >= KIB {
        format!("{:.0} KiB", bytes / KIB)
    } else {
        format!("{bytes:.0} B")
    }
}

/// A plot's rectangle with its two axes.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Pixels of the left, the upper, the right and the lower edge.
    pub edges: [f64; 4],
    /// From left to right.
    pub x: Scale,
    /// From bottom to top.
    pub y: Scale,
}

impl Frame {
    /// Draws the grid, the axes, their named values and their names.
    pub fn draw(&self, picture: &mut Picture, names: (&str, &str), x_ticks: &[Tick], y_ticks: &[Tick]) {
        let [left, top, right, bottom] = self.edges;
        for (value, text) in y_ticks {
            let y = self.y.at(*value);
            picture.line(&[(left, y), (right, y)], "grid");
            picture.text((left - 8.0, y + 4.0), LETTERS, Anchor::End, "soft", text);
        }
        for (value, text) in x_ticks {
            let x = self.x.at(*value);
            picture.line(&[(x, bottom), (x, bottom + 5.0)], "axis");
            picture.text((x, bottom + 19.0), LETTERS, Anchor::Middle, "soft", text);
        }
        picture.line(&[(left, top), (left, bottom), (right, bottom)], "axis");
        picture.text(((left + right) / 2.0, bottom + 37.0), LETTERS, Anchor::Middle, "soft", names.0);
        picture.text((left - 40.0, top - 12.0), 14.0, Anchor::Start, "ink", names.1);
    }
}

/// A line of a legend: what stands for it, and its text.
pub enum Key<'a> {
    /// A line with its marker.
    Line(&'a str, Option<(Marker, &'a str)>, &'a str),
    /// A marker alone.
    Marker(Marker, &'a str, &'a str),
    /// A filled area.
    Area(&'a str, &'a str),
}

/// Draws a legend below `(x, y)`, beside the plot.
pub fn legend(picture: &mut Picture, (x, y): (f64, f64), keys: &[Key<'_>]) {
    for (number, key) in keys.iter().enumerate() {
        let y = y + 22.0 * number as f64;
        let text = match *key {
            Key::Line(line, marker, text) => {
                picture.line(&[(x, y), (x + 26.0, y)], line);
                if let Some((marker, class)) = marker {
                    picture.marker((x + 13.0, y), 4.0, marker, class);
                }
                text
            }
            Key::Marker(marker, class, text) => {
                picture.marker((x + 13.0, y), 5.0, marker, class);
                text
            }
            Key::Area(class, text) => {
                picture.rect((x, y - 6.0), (26.0, 12.0), 0.0, class);
                text
            }
        };
        picture.text((x + 34.0, y + 4.0), LETTERS, Anchor::Start, "ink", text);
    }
}

/// Pixels that a column of names needs, at least `least`.
pub fn names_width<'a>(names: impl Iterator<Item = &'a str>, least: f64, most: f64) -> f64 {
    names.map(|name| width_of(name, LETTERS)).fold(least, f64::max).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ticks: Vec<Tick>) -> Vec<String> {
        ticks.into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn epochs_are_whole_and_not_too_many() {
        assert_eq!(names(whole_ticks(1, 3, 10)), ["1", "2", "3"]);
        assert_eq!(names(whole_ticks(1, 1, 10)), ["1"]);
        assert_eq!(names(whole_ticks(1, 40, 10)), ["5", "10", "15", "20", "25", "30", "35", "40"]);
        assert!(whole_ticks(1, 1_000_000, 10).len() <= 10);
    }

    #[test]
    fn values_are_round_and_have_the_digits_that_they_need() {
        assert_eq!(names(ticks((0.0, 1.0), 5)), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(names(ticks((61.3, 98.1), 4)), ["70", "80", "90"]);
        assert_eq!(names(ticks((0.012, 0.031), 4)), ["0.015", "0.020", "0.025", "0.030"]);
        assert_eq!(ticks((0.5, 0.5), 4).len(), 1);
    }

    #[test]
    fn bytes_are_named_by_powers_of_two() {
        assert_eq!(names(byte_ticks((500.0, 9_000.0))), ["512 B", "1 KiB", "2 KiB", "4 KiB", "8 KiB"]);
    }

    #[test]
    fn equal_ratios_are_equally_far_apart_on_a_logarithmic_scale() {
        let scale = Scale::log((1.0, 100.0), (0.0, 50.0));
        assert!((scale.at(10.0) - 25.0).abs() < 1e-9);
        // A scale without extent puts everything in its middle.
        assert_eq!(Scale::linear((1.0, 1.0), (0.0, 50.0)).at(1.0), 25.0);
    }
}
