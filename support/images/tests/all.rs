//! Promise: the program writes every image that steps are counted on, and each of them opens.

use std::process::Command;

use latch_benches::images::PRECISIONS;
use latch_benches::{CHIP_SHAPES, SIZES, chip_file, review_file, step_file};
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;

#[test]
fn every_image_that_is_counted_is_written_and_opens() {
    let folder = tempfile::tempdir().expect("a folder");
    let status = Command::new(env!("CARGO_BIN_EXE_images")).arg(folder.path()).status().expect("it starts");
    assert!(status.success());
    for precision in PRECISIONS {
        let name = precision.name();
        let steps = SIZES.into_iter().map(|size| step_file(name, size));
        let chips = CHIP_SHAPES.into_iter().map(|shape| chip_file(name, shape));
        for file in steps.chain(chips).chain([review_file(name)]) {
            let bytes = std::fs::read(folder.path().join(&file)).expect("the file is there");
            let image = AlignedBytes::new(&bytes);
            let opened = Image::open(&image).expect("it opens");
            assert_eq!(opened.description().precision, precision, "{file}");
        }
    }
}
