//! Promise: a program includes an image with one line, which checks it while compiling and gives the size of a stream's state as a constant.

use latch_engine::image::check_header;
use latch_engine::{Error, Model, State};

latch_engine::include_image!(Tiny = "../goldens/image-v8-rnn.latch");

#[test]
fn an_included_image_lies_aligned_and_runs_in_the_state_that_it_names() {
    assert_eq!(Tiny::BYTES.as_ptr().align_offset(16), 0);
    let image = Tiny::open().expect("it was checked while compiling");
    let model = Model::new(&image);
    assert_eq!(model.state_bytes(), Tiny::STATE_BYTES);
    let mut state = State::<{ Tiny::STATE_BYTES }>::new();
    let mut session = model.session(&mut state).expect("exactly enough");
    assert_eq!(session.push_tokens(&[1, 2, 3]), 3);
    assert!(session.output().to_f32().is_finite());
}

/// What the line above evaluates while compiling, where an error becomes a compile error with this sentence.
#[test]
fn what_is_checked_while_compiling_names_the_reason() {
    let whole = Tiny::BYTES;
    let reason = |bytes: &[u8]| check_header(bytes).map_err(|error| error.reason()).expect_err("it is damaged");
    assert!(reason(b"a text").starts_with("not a Latch image"));
    assert!(reason(&whole[..100]).contains("cut off"));
    let mut damaged = whole.to_vec();
    damaged[200] ^= 1;
    assert!(reason(&damaged).contains("CRC-32"));
    damaged[4] = 6;
    assert!(reason(&damaged).contains("export the model again"));
    assert!(matches!(check_header(&damaged), Err(Error::OlderVersion { found: 6 })));
}
