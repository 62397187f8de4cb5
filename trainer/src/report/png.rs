//! Pictures as PNG, from the same SVG, on a light ground.

use std::sync::{Arc, LazyLock};

use anyhow::{Context, Result};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::svg::Picture;

/// Pixels of the PNG for each of the picture's, so that it is sharp on dense screens.
const DENSITY: f32 = 2.0;

/// Letters come from an embedded font, because a fresh machine may have none.
static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// A picture as PNG.
///
/// # Errors
/// An internal error of the drawing library.
pub fn png(picture: &Picture) -> Result<Vec<u8>> {
    let options = Options { fontdb: FONTS.clone(), font_family: "DejaVu Sans".into(), ..Options::default() };
    let tree = Tree::from_str(&picture.file(), &options).context("reading the picture's own SVG")?;
    let (width, height) = picture.size();
    let pixels = |length: f64| (length as f32 * DENSITY).ceil() as u32;
    let mut pixmap = Pixmap::new(pixels(width), pixels(height)).context("a picture without pixels")?;
    resvg::render(&tree, Transform::from_scale(DENSITY, DENSITY), &mut pixmap.as_mut());
    pixmap.encode_png().context("coding the picture as PNG")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::svg::Anchor;

    #[test]
    fn a_png_has_the_letters_of_its_picture_on_a_light_ground() {
        let drawn = |text: &str| {
            let mut picture = Picture::new(120.0, 40.0, "a text");
            picture.text((10.0, 28.0), 20.0, Anchor::Start, "ink", text);
            Pixmap::decode_png(&png(&picture).expect("a PNG")).expect("a PNG that decodes")
        };
        let (empty, letters) = (drawn(""), drawn("Latch"));
        assert_eq!((letters.width(), letters.height()), (240, 80));
        assert!(empty.pixels().iter().all(|pixel| pixel.red() == 255 && pixel.alpha() == 255));
        let dark = letters.pixels().iter().filter(|pixel| pixel.red() < 100).count();
        assert!(dark > 200, "{dark} dark pixels");
    }
}
