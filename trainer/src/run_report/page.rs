//! A report as one HTML file: no script, nothing from a network, and readable on a light and on a dark ground. All texts are escaped.

use std::fmt::Write as _;

use super::{Report, Section};
use crate::report::svg::{STYLE, escaped};

/// The look of the page around its pictures.
const PAGE: &str = "\
:root{color-scheme:light dark;--paper:#ffffff;--ink:#1f2328;--soft:#59636e;--line:#d8dee4;--box:#f6f8fa}\
@media (prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--soft:#9da7b3;--line:#2b323b;--box:#161b22}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);\
font:15px/1.5 system-ui,'Segoe UI','DejaVu Sans',Arial,sans-serif}\
main{max-width:1010px;margin:0 auto;padding:24px}h1{margin:0 0 4px;font-size:26px}h2{margin:38px 0 4px;font-size:19px}\
p{margin:4px 0 12px;color:var(--soft);overflow-wrap:anywhere}.wide{overflow-x:auto}.wide svg{display:block;max-width:100%;min-width:var(--least);height:auto}\
.figures{display:flex;flex-wrap:wrap;gap:12px;margin:18px 0}\
.figures div{background:var(--box);border:1px solid var(--line);border-radius:8px;padding:10px 18px}\
.figures b{display:block;font-size:22px}.figures span{color:var(--soft)}\
table{border-collapse:collapse;width:100%}.rows{min-width:640px}th,td{text-align:left;vertical-align:top;padding:6px 12px 6px 0;border-bottom:1px solid var(--line)}\
th{color:var(--soft);font-weight:normal;white-space:nowrap}td{white-space:nowrap}td:last-child{width:60%;white-space:normal;overflow-wrap:anywhere}\
.facts td,.facts td:last-child{width:auto}code{font-family:ui-monospace,'DejaVu Sans Mono',monospace;font-size:13px}";

/// The smallest share of its size at which a picture's letters, of 11 to 14 pixels, are still read with ease.
const READABLE: f64 = 0.9;

/// Characters of a text that the table of the worst answers shows.
const MOST_CHARACTERS: usize = 400;

/// Writes a report as one page.
pub fn html(report: &Report) -> String {
    let name = escaped(&report.name);
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Latch: {name}</title>\n<style>{PAGE}{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{name}</h1>\n\
         <p>A run of Latch {}, and the image that a chip would run.</p>",
        env!("CARGO_PKG_VERSION")
    );
    page.push_str("<div class=\"figures\">\n");
    for (name, figure) in &report.figures {
        let _ = writeln!(page, "<div><b>{}</b><span>{}</span></div>", escaped(figure), escaped(name));
    }
    page.push_str("</div>\n<table class=\"facts\">\n");
    for (name, fact) in &report.facts {
        let fact = escaped(fact);
        let fact = if *name == "model" { format!("<code>{fact}</code>") } else { fact };
        let _ = writeln!(page, "<tr><th>{}</th><td>{fact}</td></tr>", escaped(name));
    }
    page.push_str("</table>\n");
    for section in &report.sections {
        write_section(&mut page, section);
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn write_section(page: &mut String, section: &Section) {
    let Section { name, heading, note, picture, rows } = section;
    let _ = writeln!(page, "<section id=\"{name}\">\n<h2>{}</h2>\n<p>{}</p>", escaped(heading), escaped(note));
    if let Some(picture) = picture {
        // In a narrow window a picture scrolls in its place before its letters become too small to read.
        let least = (READABLE * picture.size().0).round();
        let _ =
            writeln!(page, "<div class=\"wide\" tabindex=\"0\" style=\"--least:{least}px\">{}</div>", picture.inline());
    }
    if let [heading, rows @ ..] = rows.as_slice() {
        let cells = |tag: &str, row: &[String]| -> String {
            row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(&shortened(cell)))).collect()
        };
        let _ = writeln!(
            page,
            "<div class=\"wide\" tabindex=\"0\">\n<table class=\"rows\">\n<tr>{}</tr>",
            cells("th", heading)
        );
        for row in rows {
            let _ = writeln!(page, "<tr>{}</tr>", cells("td", row));
        }
        page.push_str("</table>\n</div>\n");
    }
    page.push_str("</section>\n");
}

/// The beginning of a text, with an ellipsis where something is left out.
fn shortened(text: &str) -> String {
    let mut characters = text.chars();
    let beginning: String = characters.by_ref().take(MOST_CHARACTERS).collect();
    if characters.next().is_some() { beginning + "…" } else { beginning }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_the_data_cannot_become_a_part_of_the_page() {
        let row = |text: &str| vec![text.to_owned()];
        let section = Section {
            name: "worst",
            heading: "<h1>".into(),
            note: "a & b".into(),
            picture: None,
            rows: vec![row("text"), row("<script>alert(1)</script>"), row(&"x".repeat(1_000))],
        };
        let report = Report {
            name: "</title><script>".into(),
            facts: vec![("data", "<b>".into())],
            figures: vec![("accuracy", "\"9\"".into())],
            sections: vec![section],
            image_bytes: 1,
            accuracy: None,
        };
        let page = html(&report);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(page.contains("prefers-color-scheme:dark") && !page.contains("http://www.w3.org/1999"), "{page}");
        assert!(page.contains(&format!("{}…", "x".repeat(MOST_CHARACTERS))), "a long text is cut");
    }
}
