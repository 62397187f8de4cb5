//! The idea of a model in one picture: a text or a series goes through the chain to an answer, and training through an image to a chip.

use super::svg::{Anchor, Picture, cut, width_of};

/// What a diagram shows.
#[derive(Clone, Copy, Debug)]
pub struct Diagram<'a> {
    /// What goes in: `a text` or `a series`.
    pub begin: &'a str,
    /// A text, or what stands for a series.
    pub text: &'a str,
    /// What the network reads at a time: `token` or `frame`.
    pub step: &'a str,
    /// Its tokens or frames; as many as fit are drawn.
    pub tokens: &'a [String],
    /// The layers from the input to the answer, each with a line below it.
    pub layers: &'a [(String, String)],
    /// The answer.
    pub answer: &'a str,
    /// From the data to the chip, each with a line below it.
    pub flow: &'a [(String, String)],
}

const WIDTH: f64 = 960.0;

/// Draws three rows: the text and its tokens; the layers and the answer; the way from the data to the chip.
pub fn picture(diagram: &Diagram<'_>) -> Picture {
    let title = format!("From {} through the layers to an answer; from training to a chip", diagram.begin);
    let mut picture = Picture::new(WIDTH, 330.0, &title);
    let first = text_row(&mut picture, diagram);
    let layers = layers_row(&mut picture, diagram);
    // The tokens go into the first layer one after the other.
    picture.line(&[(first, 66.0), (first, 84.0), (layers, 84.0)], "axis");
    picture.arrow((layers, 84.0), (layers, 112.0));
    picture.text((layers + 10.0, 101.0), 12.0, Anchor::Start, "soft", &format!("one {} at a time", diagram.step));
    picture.text((20.0, 226.0), 12.0, Anchor::Start, "soft", "from your data to a chip");
    row(&mut picture, 240.0, 60.0, diagram.flow);
    picture
}

/// The text, an arrow, and a box for each token; gives the middle of the tokens.
fn text_row(picture: &mut Picture, diagram: &Diagram<'_>) -> f64 {
    let quoted = format!("“{}”", cut(diagram.text, 15.0, 330.0));
    let width = width_of(&quoted, 15.0) + 24.0;
    picture.rect((20.0, 26.0), (width, 40.0), 6.0, "box");
    picture.text((20.0 + width / 2.0, 51.0), 15.0, Anchor::Middle, "ink", &quoted);
    let mut x = 20.0 + width + 44.0;
    picture.arrow((20.0 + width + 6.0, 46.0), (x - 6.0, 46.0));
    let begin = x;
    for token in diagram.tokens {
        let width = width_of(token, 14.0) + 22.0;
        if x + width > WIDTH - 60.0 {
            picture.text((x + 4.0, 51.0), 15.0, Anchor::Start, "soft", "…");
            break;
        }
        picture.rect((x, 30.0), (width, 32.0), 16.0, "box");
        picture.text((x + width / 2.0, 51.0), 14.0, Anchor::Middle, "ink", token);
        x += width + 8.0;
    }
    (begin + x - 8.0) / 2.0
}

/// The layers, and the answer at the end; gives the middle of the first.
fn layers_row(picture: &mut Picture, diagram: &Diagram<'_>) -> f64 {
    let answer = (diagram.answer.to_owned(), "the answer".to_owned());
    let all: Vec<(String, String)> = diagram.layers.iter().cloned().chain([answer]).collect();
    let boxes = row(picture, 116.0, 60.0, &all);
    for (&(x, width), (name, _)) in boxes.iter().zip(diagram.layers) {
        // What remembers feeds itself.
        if ["lstm", "gru", "rnn"].iter().any(|cell| name.starts_with(cell)) {
            let (from, to) = (x + 0.7 * width, x + 0.3 * width);
            picture.line(&[(from, 176.0), (from, 190.0), (to, 190.0), (to, 184.0)], "axis");
            picture.arrow((to, 190.0), (to, 177.0));
        }
    }
    boxes.first().map_or(WIDTH / 2.0, |&(x, width)| x + width / 2.0)
}

/// Boxes of a row from the left edge to the right, arrows between them; gives the left edge and the width of each.
fn row(picture: &mut Picture, y: f64, height: f64, boxes: &[(String, String)]) -> Vec<(f64, f64)> {
    let gap = 34.0;
    let room = WIDTH - 40.0 - gap * boxes.len().saturating_sub(1) as f64;
    // Each box as wide as its text asks for, all of them filling the row.
    let wants: Vec<f64> =
        boxes.iter().map(|(name, below)| width_of(name, 14.0).max(width_of(below, 11.0)) + 18.0).collect();
    let scale = room / wants.iter().sum::<f64>().max(1.0);
    let mut x = 20.0;
    let mut places = Vec::new();
    for (number, ((name, below), want)) in boxes.iter().zip(&wants).enumerate() {
        let width = want * scale;
        if number > 0 {
            picture.arrow((x - gap + 4.0, y + height / 2.0), (x - 4.0, y + height / 2.0));
        }
        picture.rect((x, y), (width, height), 6.0, "box");
        let letters = (14.0 * scale).clamp(9.0, 14.0);
        let middle = x + width / 2.0;
        picture.text((middle, y + height / 2.0 - 2.0), letters, Anchor::Middle, "ink", &cut(name, letters, width));
        let letters = (11.5 * scale).clamp(7.5, 11.5);
        let below = cut(below, letters, width);
        picture.text((middle, y + height / 2.0 + 16.0), letters, Anchor::Middle, "soft", &below);
        places.push((x, width));
        x += width + gap;
    }
    places
}
