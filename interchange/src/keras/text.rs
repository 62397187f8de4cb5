//! The vocabularies of texts: those of a `TextVectorization` layer, and the `word_index` of a `Tokenizer`.
//!
//! | id | TextVectorization | Tokenizer |
//! | --- | --- | --- |
//! | 0 | padding | padding |
//! | 1 | unknown words | unknown words, where it has a token for them |
//! | above | the words by their frequency | the words by their frequency |
//!
//! A description has the words in the order of their bytes, then the row of unknown words, and no row of padding. So the rows of the embedding change places.

use std::collections::BTreeMap;

use serde_json::Value;

use super::FREE;
use super::config::parse;
use super::entry::Entry;
use crate::Error;
use crate::budget::Budget;
use crate::described::{Cutting, Described, Embedding, Input, Kind, Text, Tokens, UNKNOWN_WORDS, Unknown};
use crate::remark::note;

/// What a tokenizer of Keras removes from texts unless it is told otherwise.
const FILTERS: &str = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n";

/// What the standardization of a TextVectorization removes.
const PUNCTUATION: &str = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'";

/// What to do with a text that a device cannot cut.
const BY_WORDS: &str = "train with words: lower_and_strip_punctuation, split at white space, in the output mode int";

/// The words of a file, a line each.
pub(super) fn lines(bytes: &[u8], at: &str) -> Result<Vec<String>, Error> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Error::new(at, "it is no text in UTF-8", "save the model again"))?;
    Ok(text.strip_suffix('\n').unwrap_or(text).split('\n').map(str::to_owned).collect())
}

/// What a file says of its words: which id each has, what unknown ones do, how texts are cut.
struct Vocabulary {
    ids: BTreeMap<String, usize>,
    /// The id of unknown words; they are left out where there is none.
    unknown: Option<usize>,
    cutting: Cutting,
    at: String,
}

/// Puts the words of a file into the description of its model, and the rows of the embedding into their order.
///
/// # Errors
/// Names the layer or the file where texts are cut in a way that has no words, or where words have no row.
pub(super) fn complete(
    model: &mut Described,
    layer: Option<&Entry>,
    words: Option<&[String]>,
    tokenizer: Option<(&[u8], &str)>,
) -> Result<(), Error> {
    let vocabulary = match (layer, tokenizer) {
        (Some(layer), Some((_, place))) => {
            let problem = format!("the model has its words itself, in the layer {}", layer.name);
            return Err(Error::new(place, problem, "leave the tokenizer out"));
        }
        (Some(layer), None) => of_layer(layer, words)?,
        (None, Some((bytes, place))) => of_tokenizer(bytes, place)?,
        (None, None) => return Ok(()),
    };
    let Vocabulary { ids, unknown, cutting, at } = vocabulary;
    let Some(Kind::Embedding(embedding)) = model.layers.first_mut().map(|layer| &mut layer.kind) else {
        return Err(Error::new(at, "the model reads no ids", "leave the tokenizer out"));
    };
    let is_masked = embedding.mask_zero;
    let Embedding { table, mask_zero } = embedding;
    // Without a token for unknown words, what has no row is left out as they are.
    let row = |id: usize| (id < table.rows).then(|| &table.values[id * table.columns..(id + 1) * table.columns]);
    let (mut values, mut known) = (Vec::new(), Vec::new());
    for (word, id) in ids {
        match row(id) {
            Some(row) => {
                values.extend_from_slice(row);
                known.push(word);
            }
            None if unknown.is_some() => {}
            None => {
                let problem = format!("the word {word:?} has the id {id}, and the embedding {} rows", table.rows);
                return Err(Error::new(at, problem, "give the vocabulary that the network was trained with"));
            }
        }
    }
    if let Some(id) = unknown {
        let Some(row) = row(id) else {
            let problem = format!("unknown words have the id {id}, and the embedding {} rows", table.rows);
            return Err(Error::new(at, problem, "give the vocabulary that the network was trained with"));
        };
        values.extend_from_slice(row);
    }
    table.rows = known.len() + usize::from(unknown.is_some());
    (table.values, *mask_zero) = (values, false);
    let unknown = Some(if unknown.is_some() { Unknown::Row } else { Unknown::Skip });
    let tokens = cutting.of_characters.then_some(if cutting.lower { Tokens::Chars } else { Tokens::CharsCased });
    let text = Text { vocabulary: Some(known), tokens, unknown, cutting: Some(cutting), ..Text::default() };
    model.input = Input::Ids(text);
    match layer {
        Some(layer) => of_length(model, layer, is_masked),
        None if is_masked && !reads_padding(model) => Ok(()),
        None => {
            let what = "nothing masks padding all the way: where its texts were padded, an image, which reads them without padding, answers otherwise";
            note(model, what);
            Ok(())
        }
    }
}

/// Whether steps of padding reach an answer although they are masked: a convolution and a window of largest values drop the mask.
fn reads_padding(model: &Described) -> bool {
    let steps = model.layers.iter().take_while(|layer| !matches!(layer.kind, Kind::Pooling(_)));
    steps.into_iter().any(|layer| matches!(layer.kind, Kind::Conv1d(_) | Kind::MaxPool(_)))
}

/// Refuses a model whose texts are padded to a length and whose answer depends on the padding; says so where texts are cut at that length.
fn of_length(model: &mut Described, layer: &Entry, is_masked: bool) -> Result<(), Error> {
    let Some(length) = layer.get("output_sequence_length").and_then(Value::as_u64) else {
        return Ok(());
    };
    if !is_masked || reads_padding(model) {
        let why = if is_masked { "a convolution reads it in spite of the mask" } else { "nothing masks it" };
        let problem = format!(
            "it pads texts to {length} words, and {why}: an image reads texts without padding, and would answer otherwise"
        );
        let remedy = if is_masked {
            "train without output_sequence_length"
        } else {
            "train with mask_zero=True in the embedding, or without it"
        };
        return Err(layer.refuse("output_sequence_length", &problem, remedy));
    }
    let name = &layer.name;
    let what = format!(
        "the layer {name} reads the first {length} words of a text, and an image reads all: of longer texts the answers differ"
    );
    note(model, what);
    Ok(())
}

/// The words of a TextVectorization, which are in its configuration or in a file beside the weights.
fn of_layer(layer: &Entry, words: Option<&[String]>) -> Result<Vocabulary, Error> {
    layer.only("output_mode", &Value::from("int"), BY_WORDS)?;
    layer.only("ngrams", &Value::Null, BY_WORDS)?;
    let removed = match layer.text("standardize") {
        Some("lower_and_strip_punctuation") => (true, PUNCTUATION),
        Some("lower") => (true, ""),
        Some("strip_punctuation") => (false, PUNCTUATION),
        None if layer.get("standardize").is_none() => (false, ""),
        _ => return Err(layer.refuse("standardize", "it is code of its own", BY_WORDS)),
    };
    let of_characters = match layer.text("split") {
        Some("whitespace") => false,
        Some("character") => true,
        _ => return Err(layer.refuse("split", "it cuts texts neither at white space nor into characters", BY_WORDS)),
    };
    let said = match layer.get("vocabulary") {
        Some(Value::Array(words)) => Some(words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect()),
        _ => None,
    };
    let words: Vec<String> = said.or_else(|| words.map(<[String]>::to_vec)).unwrap_or_default();
    // A list that `get_vocabulary` gave begins with padding and with unknown words.
    let begin = if words.first().is_some_and(String::is_empty) {
        2
    } else {
        usize::from(words.first().is_some_and(|word| word == "[UNK]"))
    };
    let words = words.get(begin..).unwrap_or_default();
    if words.is_empty() {
        let problem = "the file has no words of it";
        return Err(layer.refuse("vocabulary", problem, "save the model as .keras, which keeps them"));
    }
    let ids = words.iter().zip(2..).map(|(word, id)| (word.clone(), id)).collect();
    let cutting = Cutting { lower: removed.0, removed: removed.1.into(), separators: String::new(), of_characters };
    Ok(Vocabulary { ids, unknown: Some(1), cutting, at: layer.at() })
}

/// The words of a Tokenizer: the JSON that `to_json` gives, or its `word_index` alone.
fn of_tokenizer(bytes: &[u8], place: &str) -> Result<Vocabulary, Error> {
    let refuse = |entry: &str, problem: &str| {
        let remedy = "save tokenizer.to_json(), or json.dumps(tokenizer.word_index)";
        Error::new(if entry.is_empty() { place.to_owned() } else { format!("{place}: {entry}") }, problem, remedy)
    };
    let budget = Budget::of(bytes.len(), (12, FREE), "save the tokenizer again");
    let mut value = parse(bytes, place, &budget)?;
    // `json.dumps(tokenizer.to_json())` is a text within a text.
    if let Value::String(text) = &value {
        value = parse(text.as_bytes(), place, &budget)?;
    }
    let config = value.get("config").unwrap_or(&Value::Null);
    let index = match config.get("word_index") {
        Some(Value::String(text)) => parse(text.as_bytes(), &format!("{place}: word_index"), &budget)?,
        Some(index) => index.clone(),
        None => value.clone(),
    };
    let Value::Object(index) = index else { return Err(refuse("word_index", "it is no object of words")) };
    let number = |value: &Value| value.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|id| *id > 0);
    let mut ids = BTreeMap::new();
    for (word, id) in index {
        let Some(id) = number(&id) else { return Err(refuse("word_index", &format!("the word {word:?} has no id"))) };
        ids.insert(word, id);
    }
    let mut numbers: Vec<usize> = ids.values().copied().collect();
    numbers.sort_unstable();
    if numbers.is_empty() || numbers.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refuse("word_index", "two words have one id, or there is none"));
    }
    // The index alone does not say which of its words stands for unknown ones.
    let said = config.get("oov_token").and_then(Value::as_str);
    let unknown = match said {
        None if config.is_null() => UNKNOWN_WORDS.iter().find_map(|token| ids.remove(*token)),
        said => said.and_then(|token| ids.remove(token)),
    };
    if let Some(most) = config.get("num_words").and_then(number) {
        ids.retain(|_, id| *id < most);
    }
    let text = |key: &str, otherwise: &str| config.get(key).and_then(Value::as_str).unwrap_or(otherwise).to_owned();
    let flag = |key: &str, otherwise: bool| config.get(key).and_then(Value::as_bool).unwrap_or(otherwise);
    if text("split", " ") != " " {
        return Err(refuse("split", "it cuts texts elsewhere than at blanks"));
    }
    let of_characters = flag("char_level", false);
    // Each character that is filtered becomes a blank. Characters are not filtered.
    let separators = if of_characters { String::new() } else { text("filters", FILTERS) };
    let cutting = Cutting { lower: flag("lower", true), removed: String::new(), separators, of_characters };
    Ok(Vocabulary { ids, unknown, cutting, at: place.to_owned() })
}

#[cfg(test)]
mod tests;
