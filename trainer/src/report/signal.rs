//! A recording and what a network makes of it: the signal above, the answers below, on one axis of time.

use super::axis::{Frame, Key, Scale, Tick, legend, ticks, whole_ticks};
use super::svg::{Anchor, Picture, cut};

/// Channels that are drawn, each in a colour of its own.
const MOST_CHANNELS: usize = 3;

/// Points of a line at most: of more steps, every so many-th.
const MOST_POINTS: usize = 1_500;

/// Classes of lines and areas, one a channel or a class.
const LINES: [&str; 3] = ["la", "lb", "lc"];
const AREAS: [&str; 3] = ["a", "b", "c"];

/// What stands below the signal.
#[derive(Clone, Debug, PartialEq)]
pub enum Below<'a> {
    /// The probability of a class after each step.
    Probability(&'a str, Vec<f64>),
    /// The value of each step from the first that counts, and what the network says.
    Values {
        /// The first step that has an answer that counts.
        first: usize,
        /// What is right.
        labels: Vec<f64>,
        /// What the network says.
        answers: Vec<f64>,
    },
    /// The class of each step likewise.
    Tags {
        /// The first step that has an answer that counts.
        first: usize,
        /// What is right.
        labels: Vec<usize>,
        /// What the network says.
        answers: Vec<usize>,
        /// The names of the classes.
        names: &'a [String],
    },
}

/// Draws the first channels of a recording, each over its own range, and below what the network says, step by step.
pub fn picture(channels: &[(String, Vec<f64>)], below: &Below<'_>) -> Picture {
    let mut picture = Picture::new(960.0, 500.0, "A recording, and the answers to it");
    let steps = channels.first().map_or(0, |(_, values)| values.len());
    let (left, right) = (70.0, 760.0);
    let time = Scale::linear((0.0, steps.saturating_sub(1).max(1) as f64), (left, right));
    let named: Vec<Tick> = whole_ticks(0, steps.saturating_sub(1) as u64, 10);
    let upper = Frame { edges: [left, 44.0, right, 224.0], x: time, y: Scale::linear((0.0, 1.0), (218.0, 50.0)) };
    let of_one = if channels.len() == 1 { range(channels[0].1.iter().copied()) } else { (0.0, 1.0) };
    let frame = Frame { y: Scale::linear(of_one, (218.0, 50.0)), ..upper };
    let heights = if channels.len() == 1 { ticks(of_one, 4) } else { Vec::new() };
    let heading = if channels.len() == 1 { "Signal" } else { "Signal, each channel over its own range" };
    frame.draw(&mut picture, ("", heading), &named, &heights);
    let mut keys = Vec::new();
    for ((name, values), class) in channels.iter().zip(LINES).take(MOST_CHANNELS) {
        let own = Frame { y: Scale::linear(range(values.iter().copied()), (218.0, 50.0)), ..upper };
        line(&mut picture, &own, 0, values, class);
        keys.push(Key::Line(class, None, name));
    }
    legend(&mut picture, (right + 26.0, 60.0), &keys);
    if channels.len() > MOST_CHANNELS {
        let text = format!("{MOST_CHANNELS} of {} channels are drawn", channels.len());
        picture.text((right + 26.0, 60.0 + 22.0 * keys.len() as f64 + 4.0), 12.0, Anchor::Start, "soft", &text);
    }
    let edges = [left, 284.0, right, 444.0];
    match below {
        Below::Probability(name, values) => {
            let lower = Frame { edges, x: time, y: Scale::linear((0.0, 1.0), (444.0, 284.0)) };
            let heading = format!("Probability of {}", cut(name, 14.0, 400.0));
            lower.draw(&mut picture, ("step", &heading), &named, &ticks((0.0, 1.0), 4));
            line(&mut picture, &lower, 0, values, "la");
        }
        Below::Values { first, labels, answers } => {
            let all = range(labels.iter().chain(answers).copied());
            let lower = Frame { edges, x: time, y: Scale::linear(all, (438.0, 290.0)) };
            lower.draw(&mut picture, ("step", "Value"), &named, &ticks(all, 4));
            line(&mut picture, &lower, *first, labels, "axis");
            line(&mut picture, &lower, *first, answers, "la");
            legend(
                &mut picture,
                (right + 26.0, 300.0),
                &[Key::Line("axis", None, "label"), Key::Line("la", None, "answer")],
            );
        }
        Below::Tags { first, labels, answers, names } => {
            let lower = Frame { edges, x: time, y: Scale::linear((0.0, 2.0), (444.0, 284.0)) };
            lower.draw(&mut picture, ("step", "Label above, answer below"), &named, &[]);
            strip(&mut picture, &time, *first, labels, names, 300.0);
            strip(&mut picture, &time, *first, answers, names, 372.0);
        }
    }
    picture
}

/// The range of values, and a little around a single one.
fn range(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    match low < high {
        true => (low, high),
        false if low.is_finite() => (low - 1.0, low + 1.0),
        false => (0.0, 1.0),
    }
}

fn line(picture: &mut Picture, frame: &Frame, first: usize, values: &[f64], class: &str) {
    let every = values.len().div_ceil(MOST_POINTS).max(1);
    let known = values.iter().enumerate().step_by(every).filter(|(_, value)| value.is_finite());
    let points: Vec<(f64, f64)> =
        known.map(|(step, &value)| (frame.x.at((first + step) as f64), frame.y.at(value))).collect();
    picture.line(&points, class);
}

/// Draws runs of one class as areas with its name.
fn strip(picture: &mut Picture, time: &Scale, first: usize, classes: &[usize], names: &[String], top: f64) {
    let mut begin = 0;
    while begin < classes.len() {
        let class = classes[begin];
        let end = begin + classes[begin..].iter().take_while(|&&next| next == class).count();
        let at = |step: usize| time.at((first + step) as f64);
        let (from, to) = (at(begin), at(end.min(classes.len() - 1).max(begin)));
        let width = (to - from).max(1.0);
        picture.rect((from, top), (width, 48.0), 0.0, AREAS[class % AREAS.len()]);
        let name = names.get(class).map_or("", String::as_str);
        let shown = cut(name, 12.0, width - 6.0);
        if width > 24.0 && !shown.is_empty() {
            picture.text((from + width / 2.0, top + 28.0), 12.0, Anchor::Middle, "on", &shown);
        }
        begin = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel(name: &str, steps: usize) -> (String, Vec<f64>) {
        (name.to_owned(), (0..steps).map(|step| (step as f64 / 5.0).sin()).collect())
    }

    #[test]
    fn a_recording_stands_above_its_answers_whatever_these_are() {
        let names = ["still".to_owned(), "<walk>".to_owned()];
        let tags =
            Below::Tags { first: 2, labels: vec![0; 18], answers: [vec![0; 9], vec![1; 9]].concat(), names: &names };
        let svg = picture(&[channel("x", 20)], &tags).file();
        assert!(svg.contains(">&lt;walk&gt;</text>") && svg.matches(">still</text>").count() == 2, "{svg}");
        let values = Below::Values { first: 1, labels: vec![1.0; 19], answers: vec![f64::NAN; 19] };
        let svg = picture(&(0..5).map(|number| channel(&format!("c{number}"), 20)).collect::<Vec<_>>(), &values).file();
        assert!(svg.contains("3 of 5 channels are drawn") && !svg.contains("NaN"), "{svg}");
        let svg = picture(&[channel("x", 40_000)], &Below::Probability("b", vec![0.5; 40_000])).file();
        assert!(svg.contains("Probability of b") && svg.len() < 80_000, "{}", svg.len());
        for steps in [0, 1] {
            let below = Below::Probability("b", vec![0.5; steps]);
            assert!(!picture(&[channel("x", steps)], &below).file().contains("NaN"));
        }
        assert!(!picture(&[], &Below::Probability("b", Vec::new())).file().contains("NaN"));
    }
}
