//! Writes the images that `steps` and the chips read: `images FOLDER`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use latch_benches::images::{PRECISIONS, chip_image, review_image, step_image};
use latch_benches::{CHIP_SHAPES, SIZES, chip_file, review_file, step_file};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).context("usage: images FOLDER")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let write = |name: String, image: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, image).with_context(|| format!("cannot write {}", path.display()))
    };
    for precision in PRECISIONS {
        for size in SIZES {
            write(step_file(precision.name(), size), &step_image(precision, size)?)?;
        }
        for shape in CHIP_SHAPES {
            write(chip_file(precision.name(), shape), &chip_image(precision, shape)?)?;
        }
        write(review_file(precision.name()), &review_image(precision)?)?;
    }
    Ok(())
}
