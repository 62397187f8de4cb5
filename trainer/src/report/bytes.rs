//! Where the bytes of an image lie.

use super::axis::names_width;
use super::svg::{Anchor, Picture, cut};

/// A part of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: usize,
}

/// Draws a bar for each part.
pub fn picture(shares: &[Share]) -> Picture {
    let row = 28.0;
    let mut picture = Picture::new(960.0, 16.0 + row * shares.len() as f64, "Bytes of the image by layer");
    let left = 16.0 + names_width(shares.iter().map(|share| share.name.as_str()), 60.0, 320.0);
    let most = shares.iter().map(|share| share.bytes).max().unwrap_or(0).max(1) as f64;
    let total = shares.iter().map(|share| share.bytes).sum::<usize>().max(1) as f64;
    let room = 960.0 - left - 160.0;
    for (number, share) in shares.iter().enumerate() {
        let y = 8.0 + row * number as f64;
        let width = room * share.bytes as f64 / most;
        picture.text((left - 8.0, y + 17.0), 12.0, Anchor::End, "ink", &cut(&share.name, 12.0, 320.0));
        picture.rect((left, y + 4.0), (width.max(1.0), row - 10.0), 2.0, "a");
        let text = format!("{} bytes, {:.1} %", share.bytes, 100.0 * share.bytes as f64 / total);
        picture.text((left + width + 8.0, y + 17.0), 12.0, Anchor::Start, "soft", &text);
    }
    picture
}
