//! Promise: an export does not read the training texts again. A process of its own, because the count is the process's.

#[path = "support/latch.rs"]
mod support;

use latch_trainer::export::Trained;
use latch_trainer::export::judged::{Options, export};
use latch_trainer::runs::folder::RunFolder;
use latch_trainer::tokenization::tokenized_bytes;
use support::Place;

/// Bytes that are tokenized by an export of a run, and the bytes of its training and validation texts.
fn tokenized(place: &Place) -> (u64, u64, u64) {
    let before = tokenized_bytes();
    let folder = RunFolder::new(place.file("run"));
    let run = Trained::read(&folder).expect("a run");
    let options = Options {
        columns: Default::default(),
        storage: latch_trainer::config::Storage::Int8,
        fold_to: None,
        calibrate: true,
        warm_up: None,
        early_error: None,
        data: None,
        missing: None,
        calibrate_on: None,
    };
    export(&run, &options).expect("an image");
    let bytes =
        |texts: &[latch_trainer::dataset::Example<_>]| texts.iter().map(|example| example.text.len() as u64).sum();
    let (training, validation) = (bytes(&run.opened.training), bytes(&run.opened.validation));
    (tokenized_bytes() - before, training, validation)
}

#[test]
fn an_export_tokenizes_the_validation_part_once_and_of_the_training_part_only_the_texts_that_saturation_is_counted_on()
{
    let place = Place::with_data(3000);
    place.train("run", &["--epochs", "1"]);
    let (read, training, validation) = tokenized(&place);
    // 256 of 2,400 training texts.
    assert!(read > validation && read < validation + training / 5, "{read} of {training} and {validation}");

    // A run that does not keep how often its words occur is read for it: once for the words, once for their number.
    std::fs::remove_file(place.file("run/occurrences")).expect("the file");
    let (again, ..) = tokenized(&place);
    assert_eq!(again, read + 2 * training);
}
