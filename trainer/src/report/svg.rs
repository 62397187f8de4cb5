//! A small writer of SVG: shapes and texts whose colours are classes of one style sheet, so that a picture is readable on a light and on a dark ground.
//! Text stays text, so that it can be selected and searched.

use std::fmt::Write as _;

use crate::shown::is_hidden;

/// The colours of all pictures, for a light ground and for a dark one. The three series can be told apart by the colour-blind (Okabe and Ito's colours;
/// each has a marker of its own besides).
pub const STYLE: &str = "\
.paper{fill:#ffffff}.ink{fill:#1f2328}.soft{fill:#59636e}.on{fill:#ffffff}\
.box{fill:#f6f8fa;stroke:#8c959f}.cell{fill:none;stroke:#d8dee4}.grid{fill:none;stroke:#d8dee4}.axis{fill:none;stroke:#59636e}\
.dash{fill:none;stroke:#59636e;stroke-dasharray:5 4}.band{fill:#818b98;fill-opacity:0.14}.bar{fill:#0072b2;fill-opacity:0.45}\
.a{fill:#0072b2}.b{fill:#c4500a}.c{fill:#00795a}\
.la{fill:none;stroke:#0072b2;stroke-width:2}.lb{fill:none;stroke:#c4500a;stroke-width:2}.lc{fill:none;stroke:#00795a;stroke-width:2}\
@media (prefers-color-scheme:dark){\
.paper{fill:#0d1117}.ink{fill:#e6edf3}.soft{fill:#9da7b3}.on{fill:#0d1117}\
.box{fill:#161b22;stroke:#6e7681}.cell{stroke:#2b323b}.grid{stroke:#2b323b}.axis{stroke:#9da7b3}.dash{stroke:#9da7b3}\
.bar{fill:#56b4e9}.a{fill:#56b4e9}.b{fill:#f0a35e}.c{fill:#3fc79a}.la{stroke:#56b4e9}.lb{stroke:#f0a35e}.lc{stroke:#3fc79a}}";

/// The fonts of all pictures.
const FONTS: &str = "system-ui, 'Segoe UI', 'DejaVu Sans', Arial, sans-serif";

/// Where a text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// It begins there.
    Start,
    /// Its middle is there.
    Middle,
    /// It ends there.
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// The marker of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    Disc,
    /// A square.
    Square,
    /// A diamond.
    Diamond,
}

/// A picture in the making. Coordinates are pixels from the upper left corner.
#[derive(Debug)]
pub struct Picture {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Picture {
    /// An empty picture; `title` is for those who cannot see it.
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Picture { width, height, title: title.to_owned(), body: String::new() }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// A text of `size` pixels whose baseline goes through `(x, y)`.
    pub fn text(&mut self, (x, y): (f64, f64), size: f64, anchor: Anchor, class: &str, text: &str) {
        let (x, y, anchor) = (short(x), short(y), anchor.name());
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" class=\"{class}\">{}</text>",
            escaped(text)
        );
    }

    /// A text that ends at `(x, y)` and rises to there by `degrees`.
    pub fn rising_text(&mut self, (x, y): (f64, f64), size: f64, degrees: f64, class: &str, text: &str) {
        let (x, y) = (short(x), short(y));
        let _ = writeln!(
            self.body,
            "<text font-size=\"{size}\" text-anchor=\"end\" class=\"{class}\" transform=\"translate({x} {y}) rotate(-{degrees})\">{}</text>",
            escaped(text)
        );
    }

    /// A text that begins at `(x, y)` and rises from there by `degrees`.
    pub fn leaning_text(&mut self, (x, y): (f64, f64), size: f64, degrees: f64, class: &str, text: &str) {
        let (x, y) = (short(x), short(y));
        let _ = writeln!(
            self.body,
            "<text font-size=\"{size}\" class=\"{class}\" transform=\"translate({x} {y}) rotate(-{degrees})\">{}</text>",
            escaped(text)
        );
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let points: Vec<String> = points.iter().map(|&(x, y)| format!("{},{}", short(x), short(y))).collect();
        let _ = writeln!(self.body, "<polyline points=\"{}\" class=\"{class}\"/>", points.join(" "));
    }

    /// A rectangle with round corners of radius `round`.
    pub fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), round: f64, class: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" class=\"{class}\"/>",
            short(x),
            short(y),
            short(width.max(0.0)),
            short(height.max(0.0)),
            short(round)
        );
    }

    /// A rectangle of a share of its colour, 0 to 1, with a text that shows when a pointer rests on it.
    pub fn shaded(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), share: f64, class: &str, hint: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill-opacity=\"{}\" class=\"{class}\"><title>{}</title></rect>",
            short(x),
            short(y),
            short(width),
            short(height),
            short(share),
            escaped(hint)
        );
    }

    /// A disc of a share of its colour, 0 to 1, with a text that shows when a pointer rests on it.
    pub fn point(&mut self, (x, y): (f64, f64), radius: f64, share: f64, class: &str, hint: &str) {
        let _ = writeln!(
            self.body,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill-opacity=\"{}\" class=\"{class}\"><title>{}</title></circle>",
            short(x),
            short(y),
            short(radius),
            short(share),
            escaped(hint)
        );
    }

    /// A marker around a point.
    pub fn marker(&mut self, (x, y): (f64, f64), radius: f64, marker: Marker, class: &str) {
        match marker {
            Marker::Disc => {
                let _ = writeln!(
                    self.body,
                    "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{class}\"/>",
                    short(x),
                    short(y),
                    short(radius)
                );
            }
            Marker::Square => self.rect((x - radius, y - radius), (2.0 * radius, 2.0 * radius), 0.0, class),
            Marker::Diamond => {
                let r = radius * 1.3;
                let corners = [(x, y - r), (x + r, y), (x, y + r), (x - r, y)];
                let points: Vec<String> = corners.iter().map(|&(x, y)| format!("{},{}", short(x), short(y))).collect();
                let _ = writeln!(self.body, "<polygon points=\"{}\" class=\"{class}\"/>", points.join(" "));
            }
        }
    }

    /// An arrow to the right or downwards, from one point to another.
    pub fn arrow(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.line(&[from, to], "axis");
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1e-9);
        let (dx, dy) = (dx / length, dy / length);
        let wing = |side: f64| (to.0 - 7.0 * dx - side * 4.0 * dy, to.1 - 7.0 * dy + side * 4.0 * dx);
        let points: Vec<String> =
            [to, wing(1.0), wing(-1.0)].iter().map(|&(x, y)| format!("{},{}", short(x), short(y))).collect();
        let _ = writeln!(self.body, "<polygon points=\"{}\" class=\"soft\"/>", points.join(" "));
    }

    /// The picture for a page that has [`STYLE`] itself.
    pub fn inline(&self) -> String {
        self.element("", "")
    }

    /// The picture as a file of its own: with its style and its ground.
    pub fn file(&self) -> String {
        let ground = format!("<rect width=\"{}\" height=\"{}\" class=\"paper\"/>\n", self.width, self.height);
        self.element(&format!("<style>{STYLE}</style>\n"), &ground)
    }

    fn element(&self, style: &str, ground: &str) -> String {
        let Picture { width, height, title, body } = self;
        let title = escaped(title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" font-family=\"{FONTS}\">\n<title>{title}</title>\n{style}{ground}{body}</svg>\n"
        )
    }
}

/// A number with at most two digits behind the point.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A text as XML and HTML take it; characters that neither may hold, and those that would reorder or hide what is around them, become U+FFFD.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            character if is_hidden(character) => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

/// About how wide a text of `size` pixels is.
pub fn width_of(text: &str, size: f64) -> f64 {
    0.58 * size * textwrap::core::display_width(text) as f64
}

/// A text cut to about `width` pixels at `size`, with an ellipsis where something is left out.
pub fn cut(text: &str, size: f64, width: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for character in text.chars() {
        cut.push(character);
        if width_of(&cut, size) + 0.6 * size > width {
            cut.pop();
            break;
        }
    }
    cut + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_element() {
        let mut picture = Picture::new(10.0, 10.0, "</title><script>");
        picture.text((1.0, 2.0), 13.0, Anchor::Start, "ink", "<b>&\"'\u{1b}[2J");
        let svg = picture.file();
        assert!(svg.contains("&lt;b&gt;&amp;&quot;&#39;\u{fffd}[2J</text>"), "{svg}");
        assert!(svg.contains("&lt;/title&gt;&lt;script&gt;") && !svg.contains("<script"), "{svg}");
    }

    #[test]
    fn a_picture_in_a_page_has_no_style_and_no_ground_of_its_own() {
        let picture = Picture::new(10.0, 10.0, "empty");
        assert!(picture.file().contains("<style>") && picture.file().contains("paper"));
        assert!(!picture.inline().contains("<style>") && !picture.inline().contains("paper"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([short(1.0), short(0.126), short(-0.001), short(12.30)], ["1", "0.13", "0", "12.3"]);
        assert_eq!(cut("a long word", 10.0, 30.0), "a lo…");
        assert_eq!(cut("short", 10.0, 300.0), "short");
    }
}
