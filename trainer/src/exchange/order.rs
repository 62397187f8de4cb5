//! Vocabularies in any order. An image searches its words in the order of their bytes, so the rows of the embedding change places.
//!
//! A list of another tool has a line an id. What stands there for padding has no row in an image, and what stands there for unknown words has the last one.

use latch_engine::input::text::WORD_BYTES;
use latch_interchange::remark::note;
use latch_interchange::{Described, Input, Kind, UNKNOWN_WORDS};

use crate::counted::counted;
use crate::error::{Fault, fault};

/// What lists have in the place of padding: Keras, then others.
const PADDING: [&str; 4] = ["", "<pad>", "<PAD>", "[PAD]"];

/// What a user must know of padding that is read as a word.
const UNMASKED: &str = "its padding is not masked: where its texts were padded, an image, which reads them without padding, answers otherwise";

/// Leaves out words that no image holds, and their rows: longer ones than the tokenizer's can be, and those with a zero byte. Words and rows are in one order.
pub(super) fn held(model: &mut Described, words: &mut Vec<String>) {
    let fits = |word: &String| !word.is_empty() && word.len() <= WORD_BYTES && !word.contains('\0');
    let Some(Kind::Embedding(embedding)) = model.layers.first_mut().map(|layer| &mut layer.kind) else { return };
    let table = &mut embedding.table;
    let Some(first) = words.iter().find(|word| !fits(word)).filter(|_| words.len() <= table.rows).cloned() else {
        return;
    };
    let rows = table.values.chunks_exact(table.columns.max(1));
    let kept: Vec<&[f32]> =
        rows.enumerate().filter(|(row, _)| words.get(*row).is_none_or(fits)).map(|(_, row)| row).collect();
    (table.rows, table.values) = (kept.len(), kept.concat());
    let before = words.len();
    words.retain(fits);
    let left_out = counted(before - words.len(), "word");
    note(
        model,
        format!(
            "{left_out} of no use in an image, which holds words of 1 to {WORD_BYTES} bytes, left out, such as {first:?}"
        ),
    );
    if let Input::Ids(text) = &mut model.input
        && text.vocabulary.is_some()
    {
        text.vocabulary = Some(words.clone());
    }
}

/// The words of a list in the order of their bytes, and the rows of the model's embedding in the same order: those of the words, then that of unknown words. Where
/// the list names padding or unknown words, rows behind the list's end go, since no id of the list reads them.
///
/// # Errors
/// A fault that names `at` and the line where a word stands twice, where the list has more lines than the embedding rows, or where id 0 is padding and the list does not say so.
pub(super) fn order(at: &str, model: &mut Described, words: &[String]) -> Result<Vec<String>, Fault> {
    let layer = model.layers.first_mut().map(|layer| (&layer.name, &mut layer.kind));
    let Some((name, Kind::Embedding(embedding))) = layer else { return Ok(words.to_vec()) };
    let mut remarks = Vec::new();
    let marks = |word: &String| PADDING.contains(&word.as_str());
    if words.iter().all(marks) {
        return Err(fault(at, "there is no word in it", "give a line to each id from 0"));
    }
    if embedding.mask_zero && !words.first().is_some_and(marks) {
        let first = words.first().map_or("", String::as_str);
        let problem = format!("the layer {name} takes id 0 for padding, and line 1 has the word {first:?}");
        let remedy = "give a line to each id from 0, the first one empty, as get_vocabulary() of Keras does";
        return Err(fault(at, problem, remedy));
    }
    let unknown = words.iter().position(|word| UNKNOWN_WORDS.contains(&word.as_str()));
    let is_listed = unknown.is_some() || words.iter().any(marks);
    let table = &mut embedding.table;
    if is_listed && (words.len() > table.rows || words.len() < table.rows && !words.first().is_some_and(marks)) {
        let problem =
            format!("it has {}, but the embedding {name} has {} rows", counted(words.len(), "line"), table.rows);
        return Err(fault(at, problem, "give the vocabulary that the network was trained with, a line to each id"));
    }
    if is_listed && words.len() < table.rows {
        let (lines, rows) = (counted(words.len(), "line"), table.rows - words.len());
        remarks.push(format!(
            "{at}: it has {lines}, and the embedding {rows} rows more, which are left out; if a line is missing, all words behind it are wrong"
        ));
    }
    let is_word = |(id, word): &(usize, &String)| Some(*id) != unknown && !marks(word);
    let mut known: Vec<(usize, &String)> = words.iter().enumerate().filter(is_word).collect();
    known.sort_by(|a, b| a.1.cmp(b.1));
    if let Some(pair) = known.windows(2).find(|pair| pair[0].1 == pair[1].1) {
        let problem =
            format!("the word {:?} stands in line {} and in line {}", pair[0].1, pair[0].0 + 1, pair[1].0 + 1);
        return Err(fault(at, problem, "give a line to each id, and each word once"));
    }
    let ordered = known.iter().map(|(_, word)| (*word).clone()).collect();
    let rest = match unknown {
        Some(id) => id..id + 1,
        None if is_listed => 0..0,
        None => words.len()..table.rows,
    };
    let ids: Vec<usize> = known.iter().map(|(id, _)| *id).chain(rest).collect();
    if ids.iter().enumerate().any(|(place, &id)| place != id) || ids.len() != table.rows {
        // A list of more words than rows is refused where words and rows are counted.
        let rows: Vec<&[f32]> = table.values.chunks_exact(table.columns.max(1)).collect();
        let ordered: Vec<&[f32]> = ids.iter().filter_map(|&id| rows.get(id).copied()).collect();
        (table.rows, table.values) = (ordered.len(), ordered.concat());
    }
    if is_listed && !embedding.mask_zero && words.iter().any(marks) {
        remarks.push(UNMASKED.to_owned());
    }
    embedding.mask_zero = false;
    remarks.into_iter().for_each(|what| note(model, what));
    Ok(ordered)
}
