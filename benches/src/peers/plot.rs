//! Nanoseconds an LSTM step by size, all engines, as SVG.

use anyhow::{Result, anyhow};
use latch_trainer::report::axis::{Frame, Key as Legend, Scale, legend};
use latch_trainer::report::svg::{Marker, Picture};

use super::cell::{Kind, Shape};
use super::roofline::{PRECISIONS, is_limit};
use super::rounds::{Key, Rounds};

/// A line: its name and its points, units and nanoseconds.
type Line = (String, Vec<(f64, f64)>);

/// The markers of lines of one colour, one after the other.
const MARKERS: [Marker; 3] = [Marker::Disc, Marker::Square, Marker::Diamond];

/// The plot, with both axes logarithmic. Shapes whose inputs are not as many as their units are left out.
///
/// # Errors
/// When there is nothing to draw.
pub fn svg(rounds: &Rounds) -> Result<String> {
    let lines = lines(rounds);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        (low < high).then_some((low, high)).ok_or_else(|| anyhow!("a plot needs at least two sizes"))
    };
    let (least, most) = range(&mut points().map(|point| point.0))?;
    let (low, high) = range(&mut points().map(|point| point.1))?;
    let mut picture = Picture::new(1100.0, 640.0, "One LSTM step: nanoseconds by units (= inputs)");
    let [left, top, right, bottom] = [70.0, 44.0, 820.0, 580.0];
    let frame = Frame {
        edges: [left, top, right, bottom],
        x: Scale::log((least * 0.87, most * 1.15), (left, right)),
        y: Scale::log((low * 0.7, high * 1.5), (bottom, top)),
    };
    let powers = |base: f64, (low, high): (f64, f64)| {
        let powers = (0..40).map(move |power| base.powi(power)).filter(move |value| (low..=high).contains(value));
        powers.map(|value| (value, format!("{value:.0}"))).collect::<Vec<_>>()
    };
    let sizes = powers(2.0, (least * 0.99, most * 1.01));
    frame.draw(&mut picture, ("units", "ns a step"), &sizes, &powers(10.0, (low * 0.7, high * 1.5)));
    // Ours have a colour of their own; the lines of one colour differ by their markers.
    let mut used = [0; 3];
    let drawn: Vec<(&Line, usize, Marker)> = lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let color = if line.0.starts_with("latch") { 0 } else { 1 + number % 2 };
            used[color] += 1;
            (line, color, MARKERS[used[color] % MARKERS.len()])
        })
        .collect();
    let classes = |color: usize| (["la", "lb", "lc"][color], ["a", "b", "c"][color]);
    for &((_, points), color, marker) in &drawn {
        let points: Vec<(f64, f64)> = points.iter().map(|&(units, ns)| (frame.x.at(units), frame.y.at(ns))).collect();
        picture.line(&points, classes(color).0);
        points.iter().for_each(|&point| picture.marker(point, 4.0, marker, classes(color).1));
    }
    let keys: Vec<Legend<'_>> = drawn
        .iter()
        .map(|&((name, _), color, marker)| Legend::Line(classes(color).0, Some((marker, classes(color).1)), name))
        .collect();
    legend(&mut picture, (right + 20.0, 50.0), &keys);
    Ok(picture.file())
}

/// The engines' lines, the slowest at its largest size first; ours by the backend that is fastest at each size.
fn lines(rounds: &Rounds) -> Vec<Line> {
    let shapes: Vec<Shape> = rounds.shapes().into_iter().filter(|shape| shape.inputs == shape.units).collect();
    let points = |key: &dyn Fn(Shape) -> Option<Key>| {
        let point = |&shape: &Shape| Some((shape.units as f64, rounds.ns(&key(shape)?)?.median));
        let mut points: Vec<(f64, f64)> = shapes.iter().filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        points
    };
    let is_other = |key: &Key| key.cell == Some(Kind::Lstm) && !is_limit(&key.peer) && !key.is_ours();
    let others = rounds.peers(is_other).into_iter().map(|(peer, precision)| {
        let cell = Some(Kind::Lstm);
        let key = |shape| Some(Key { peer: peer.to_owned(), cell, precision: precision.to_owned(), shape });
        (format!("{peer} {precision}"), points(&key))
    });
    let ours = PRECISIONS.into_iter().map(|precision| {
        (format!("latch {precision}"), points(&|shape| rounds.fastest_of_ours(precision, shape).cloned()))
    });
    let mut lines: Vec<Line> = others.chain(ours).filter(|(_, points)| !points.is_empty()).collect();
    lines.sort_by(|(_, a), (_, b)| b[b.len() - 1].1.total_cmp(&a[a.len() - 1].1));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::rounds::tests::row;

    #[test]
    fn every_engine_is_in_the_plot_and_no_limit_is() -> Result<()> {
        let mut rounds = Rounds::default();
        let rows = [("tract", 5000.0), ("latch-avx2", 100.0), ("load", 10.0)];
        rounds
            .push(rows.iter().flat_map(|&(peer, ns)| [16, 64].map(|size| row(peer, "f32", size, ns * size as f64))))?;
        let svg = svg(&rounds)?;
        assert!(svg.contains("tract f32") && svg.contains("latch f32"));
        assert!(!svg.contains("load f32"));
        Ok(())
    }

    #[test]
    fn one_size_is_no_plot() -> Result<()> {
        let mut rounds = Rounds::default();
        rounds.push([row("tract", "f32", 16, 5000.0)])?;
        assert!(svg(&rounds).is_err());
        Ok(())
    }
}
