//! Reports: curves of a run as SVG and PNG, the reliability of its answers as SVG, and tables for the terminal.

pub mod image;
pub mod layers;

use std::sync::Once;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use crate::metrics::{EpochMetrics, Reliability};

/// Width and height of the curves in pixels.
const SIZE: (u32, u32) = (960, 420);

/// Loss and accuracy by epoch, as SVG.
///
/// # Errors
/// An internal error of the drawing library.
pub fn curves_svg(metrics: &[EpochMetrics]) -> Result<String> {
    let mut svg = String::new();
    draw_curves(&SVGBackend::with_string(&mut svg, SIZE).into_drawing_area(), metrics)?;
    Ok(svg)
}

/// Loss and accuracy by epoch, as PNG.
///
/// # Errors
/// An internal error of the drawing library.
pub fn curves_png(metrics: &[EpochMetrics]) -> Result<Vec<u8>> {
    let mut pixels = vec![0; 3 * (SIZE.0 * SIZE.1) as usize];
    draw_curves(&BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area(), metrics)?;
    let mut png = Vec::new();
    let mut encoder = png::Encoder::new(&mut png, SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(png)
}

/// Letters come from an embedded font, because a fresh machine may have none.
fn use_embedded_font() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        if register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular()).is_err() {
            tracing::warn!("the embedded font cannot be read: plots will have no letters");
        }
    });
}

fn draw_curves<B: DrawingBackend>(area: &DrawingArea<B, Shift>, metrics: &[EpochMetrics]) -> Result<()> {
    use_embedded_font();
    area.fill(&WHITE).map_err(drawing)?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let loss = |get: fn(&EpochMetrics) -> f64| metrics.iter().map(|m| (m.epoch as f64, get(m))).collect::<Vec<_>>();
    panel(&left, "Loss (nats)", &loss(|m| m.train_loss), &loss(|m| m.valid_loss))?;
    panel(&right, "Accuracy", &loss(|m| m.train_accuracy), &loss(|m| m.valid_accuracy))?;
    area.present().map_err(drawing)
}

fn panel<B: DrawingBackend>(
    area: &DrawingArea<B, Shift>,
    title: &str,
    train: &[(f64, f64)],
    valid: &[(f64, f64)],
) -> Result<()> {
    let values = || train.iter().chain(valid).map(|(_, value)| *value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let margin = ((high - low) * 0.05).max(0.005);
    let epochs = train.len().max(2) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(1.0..epochs, low - margin..high + margin)
        .map_err(drawing)?;
    chart
        .configure_mesh()
        .x_desc("epoch")
        .x_labels(train.len().clamp(2, 12))
        .light_line_style(WHITE)
        .draw()
        .map_err(drawing)?;
    for (points, name, color) in [(train, "training", BLUE), (valid, "validation", RED)] {
        chart
            .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)).point_size(3))
            .map_err(drawing)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw().map_err(drawing)
}

/// Confidence against accuracy, a bar a bin, beside the diagonal on which a calibrated model's bars end; as SVG.
///
/// # Errors
/// An internal error of the drawing library.
pub fn reliability_svg(reliability: &Reliability) -> Result<String> {
    use_embedded_font();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (SIZE.1, SIZE.1)).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        let error = 100.0 * reliability.calibration_error;
        let mut chart = ChartBuilder::on(&area)
            .caption(format!("Expected calibration error {error:.2} %"), ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(34)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..1.0, 0.0..1.0)
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc("confidence: the verdict's probability")
            .y_desc("accuracy")
            .light_line_style(WHITE)
            .draw()
            .map_err(drawing)?;
        let width = 1.0 / reliability.bins.len().max(1) as f64;
        let filled = reliability.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0);
        chart
            .draw_series(filled.clone().map(|(number, bin)| {
                let corners = [(number as f64 * width, 0.0), ((number + 1) as f64 * width, bin.accuracy)];
                Rectangle::new(corners, BLUE.mix(0.4).filled())
            }))
            .map_err(drawing)?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.5))).map_err(drawing)?;
        let points = filled.map(|(_, bin)| Circle::new((bin.confidence, bin.accuracy), 3, RED.filled()));
        chart.draw_series(points).map_err(drawing)?;
        area.present().map_err(drawing)?;
    }
    Ok(svg)
}

/// An image of a search: its bytes, its accuracy, and whether no other has fewer bytes and more accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Bytes of the image.
    pub bytes: usize,
    /// Accuracy on the validation part, 0 to 1.
    pub accuracy: f64,
    /// It is on the Pareto front.
    pub front: bool,
}

/// Image bytes against validation accuracy, the front as a line, `flash` as the axis' end; as SVG. `points` may come in any order.
///
/// # Errors
/// An internal error of the drawing library.
pub fn pareto_svg(points: &[Point], flash: usize) -> Result<String> {
    use_embedded_font();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(drawing)?;
        let percent = |point: &Point| (point.bytes as f64 / 1024.0, 100.0 * point.accuracy);
        let accuracies = || points.iter().map(|point| 100.0 * point.accuracy);
        let (low, high) = (accuracies().fold(100.0, f64::min), accuracies().fold(0.0, f64::max).max(0.0));
        let margin = ((high - low) * 0.05).max(0.5);
        let mut chart = ChartBuilder::on(&area)
            .caption("Images within the budget", ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..flash as f64 / 1024.0, low.min(high) - margin..high + margin)
            .map_err(drawing)?;
        chart
            .configure_mesh()
            .x_desc("KiB of the image")
            .y_desc("validation accuracy (of values R²), %")
            .light_line_style(WHITE)
            .draw()
            .map_err(drawing)?;
        let mut front: Vec<(f64, f64)> = points.iter().filter(|point| point.front).map(percent).collect();
        front.sort_by(|a, b| a.0.total_cmp(&b.0));
        let others = points.iter().filter(|point| !point.front).map(percent);
        chart.draw_series(others.map(|at| Circle::new(at, 3, BLACK.mix(0.4).filled()))).map_err(drawing)?;
        chart.draw_series(LineSeries::new(front.iter().copied(), RED.stroke_width(2))).map_err(drawing)?;
        chart.draw_series(front.iter().map(|&at| Circle::new(at, 4, RED.filled()))).map_err(drawing)?;
        area.present().map_err(drawing)?;
    }
    Ok(svg)
}

fn drawing<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("drawing the curves: {error}")
}

/// A table for the terminal: the first row is the heading; numbers, and all columns but the first, stand to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(column, (cell, &width))| {
                    if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                },
            )
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
        if number == 0 {
            text.push_str(&"-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
            text.push('\n');
        }
    }
    text
}

/// Columns of a line of text.
pub const COLUMNS: usize = 80;

/// A text in lines of [`COLUMNS`] columns behind an indent, broken between words.
pub fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in text.split_whitespace() {
        let begun = lines.last().is_some_and(|line| line.len() > indent.len());
        let used = lines.last().map_or(0, |line| line.chars().count()) + usize::from(begun);
        if begun && used + word.chars().count() > COLUMNS {
            lines.push(indent.to_owned());
        }
        if let Some(line) = lines.last_mut() {
            if line.len() > indent.len() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n") + "\n"
}

/// A text whose lines have at most so many columns: a longer one is broken between words, and goes on behind two spaces more than it begins with. A
/// word that is longer than a line stays whole.
pub fn broken(text: &str, columns: usize) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let indent = line.len() - line.trim_start().len() + 2;
        let mut rest = line;
        let mut begin = String::new();
        loop {
            let room = columns.saturating_sub(begin.len());
            // A space may stand where the line ends.
            let end = rest.char_indices().nth(room + 1).map_or(rest.len(), |(end, _)| end);
            let fits = rest.chars().count() <= room;
            // Never within the spaces that it begins with.
            let from = rest.len() - rest.trim_start().len();
            let at = rest[from..end.max(from)].rfind(' ').map(|at| at + from);
            let at = at.or_else(|| rest[from..].find(' ').map(|at| at + from));
            match at.filter(|_| !fits && columns >= indent + 10) {
                Some(at) if !rest[at..].trim().is_empty() => {
                    lines.push(format!("{begin}{}", rest[..at].trim_end()));
                    rest = rest[at..].trim_start();
                    begin = " ".repeat(indent);
                }
                _ => break,
            }
        }
        lines.push(format!("{begin}{rest}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words_and_short_ones_stay() {
        assert_eq!(broken("one two three four\nfive", 12), "one two\n  three four\nfive");
        assert_eq!(broken("  one two three four", 15), "  one two three\n    four");
        assert_eq!(broken("a/very/long/path/that/stays whole", 14), "a/very/long/path/that/stays\n  whole");
        assert_eq!(broken("", 20), "");
        assert_eq!(broken("déjà vu, déjà vu", 12), "déjà vu,\n  déjà vu");
        let text = "some words of many, which follow each other up to the end of the line and beyond it";
        for columns in 13..90 {
            let lines = broken(text, columns);
            assert!(lines.lines().all(|line| line.len() <= columns), "{lines}");
            assert_eq!(lines.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_paragraph_is_wrapped_behind_its_indent() {
        let text = wrapped(&"word ".repeat(40), "    ");
        assert!(text.lines().all(|line| line.starts_with("    word") && line.len() <= COLUMNS), "{text}");
        assert_eq!(text.split_whitespace().count(), 40);
    }
}
