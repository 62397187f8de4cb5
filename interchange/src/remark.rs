//! What a reader took for granted where a file leaves something open: notes of a description under one name.

use crate::described::Described;

/// The name of such a note.
pub(crate) const REMARK: &str = "remark";

/// Notes what was taken for granted of a model, in a sentence.
pub fn note(model: &mut Described, remark: impl Into<String>) {
    model.source.notes.push((REMARK.to_owned(), remark.into()));
}

/// What was taken for granted of a file, each in a sentence.
pub fn remarks(model: &Described) -> Vec<String> {
    let notes = model.source.notes.iter();
    notes.filter(|(what, _)| what == REMARK).map(|(_, remark)| remark.clone()).collect()
}
