//! Nanoseconds a step by size, all engines, as SVG.

use std::sync::Once;

use anyhow::{Result, anyhow};
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::cell::Shape;
use super::roofline::{PRECISIONS, is_limit};
use super::rounds::{Key, Rounds};

const SIZE: (u32, u32) = (1100, 640);

/// A line: its name and its points, units and nanoseconds.
type Line = (String, Vec<(f64, f64)>);

/// The plot, with both axes logarithmic. Shapes whose inputs are not as many as their units are left out.
///
/// # Errors
/// When there is nothing to draw, or an internal error of the drawing library.
pub fn svg(rounds: &Rounds) -> Result<String> {
    let lines = lines(rounds);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        (low < high).then_some((low, high)).ok_or_else(|| anyhow!("a plot needs at least two sizes"))
    };
    let (left, right) = range(&mut points().map(|point| point.0))?;
    let (low, high) = range(&mut points().map(|point| point.1))?;
    use_embedded_font();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        // Room for the names at the right.
        // Sizes double, so the axis has their logarithms.
        let mut chart = ChartBuilder::on(&area)
            .caption("One LSTM step: nanoseconds by units (= inputs)", ("sans-serif", 18))
            .margin(10)
            .margin_right(250)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(left.log2() - 0.2..right.log2() + 0.2, ((low * 0.7)..(high * 1.5)).log_scale())
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc("units")
            .y_desc("ns a step")
            .x_labels((right / left).log2() as usize + 1)
            .x_label_formatter(&|x| format!("{:.0}", x.exp2()))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(WHITE)
            .draw()
            .map_err(drawing)?;
        for (index, (name, points)) in lines.iter().enumerate() {
            let ours = name.starts_with("latch");
            // Neighbours in the list are far apart on the circle of hues; ours are the thick ones.
            let color = HSLColor(index as f64 * 0.382 % 1.0, 0.8, if ours { 0.35 } else { 0.45 });
            let width = if ours { 3 } else { 1 };
            let points = points.iter().map(|&(units, ns)| (units.log2(), ns));
            chart.draw_series(LineSeries::new(points, color.stroke_width(width)).point_size(3)).map_err(drawing)?;
            // The names stand below each other, the slowest on top.
            let place = (SIZE.0 as i32 - 235, 45 + 20 * index as i32);
            let line = [place, (place.0 + 22, place.1)];
            area.draw(&PathElement::new(line, color.stroke_width(width.max(2)))).map_err(drawing)?;
            area.draw(&Text::new(name.clone(), (place.0 + 30, place.1 - 7), ("sans-serif", 13))).map_err(drawing)?;
        }
        area.present().map_err(drawing)?;
    }
    Ok(svg)
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
    let others = rounds.peers(|key| !is_limit(&key.peer) && !key.is_ours()).into_iter().map(|(peer, precision)| {
        let key = |shape| Some(Key { peer: peer.to_owned(), precision: precision.to_owned(), shape });
        (format!("{peer} {precision}"), points(&key))
    });
    let ours = PRECISIONS.into_iter().map(|precision| {
        (format!("latch {precision}"), points(&|shape| rounds.fastest_of_ours(precision, shape).cloned()))
    });
    let mut lines: Vec<Line> = others.chain(ours).filter(|(_, points)| !points.is_empty()).collect();
    lines.sort_by(|(_, a), (_, b)| b[b.len() - 1].1.total_cmp(&a[a.len() - 1].1));
    lines
}

/// Letters come from an embedded font, because a fresh machine may have none.
fn use_embedded_font() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // Without it the plot has no letters, which is no reason to have no plot.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
}

fn drawing<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("drawing the plot: {error}")
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
