//! What a model takes as an int8 image, and how a default model is cut until that fits.

use anyhow::Result;

use super::MOST_BYTES;
use crate::config::{ModelConfig, NgramConfig, Storage};
use crate::search::candidates::{Candidate, Sizer};

/// The shares of its n-grams that a model may have left, in eighths; below them words are left out.
const NGRAM_EIGHTHS: [usize; 5] = [8, 7, 6, 5, 4];

/// The shares where not even the fewest words go in beside more.
const LEFT_EIGHTHS: [usize; 4] = [3, 2, 1, 0];

/// Fewest words that are left of a vocabulary.
const FEWEST_WORDS: usize = 16;

/// Bytes of a model's int8 image; with n-grams up to 16 more than it will have.
///
/// # Errors
/// Those of [`Sizer::cost`].
pub fn bytes_of(sizer: &Sizer, model: &ModelConfig) -> Result<usize> {
    Ok(sizer.cost(&Candidate { model: model.clone(), precision: Storage::Int8 })?.image_bytes)
}

/// The model with as many n-grams, and then as many words, as go into [`MOST_BYTES`], and the bytes of its image: more than these where not even the smallest
/// vocabulary goes in. A model that fits stays as it is.
///
/// # Errors
/// Those of [`Sizer::cost`].
pub fn cut(sizer: &Sizer, model: &ModelConfig) -> Result<(ModelConfig, usize)> {
    let mut cut = model.clone();
    for eighths in NGRAM_EIGHTHS {
        let ngrams = NgramConfig { count: model.ngrams.count * eighths / 8, ..model.ngrams };
        cut = ModelConfig { ngrams, ..model.clone() };
        let bytes = bytes_of(sizer, &cut)?;
        if bytes <= MOST_BYTES {
            return Ok((cut, bytes));
        }
        if model.ngrams.count == 0 {
            break;
        }
    }
    let most = model.vocab.min(sizer.words(model).len());
    let (mut low, mut high) = (FEWEST_WORDS.min(most), most);
    while low < high {
        let middle = (low + high).div_ceil(2);
        cut.vocab = middle;
        if bytes_of(sizer, &cut)? <= MOST_BYTES { low = middle } else { high = middle - 1 }
    }
    cut.vocab = low;
    let mut bytes = bytes_of(sizer, &cut)?;
    for eighths in LEFT_EIGHTHS.into_iter().filter(|_| model.ngrams.count > 0) {
        if bytes <= MOST_BYTES {
            break;
        }
        let count = model.ngrams.count * eighths / 8;
        cut.ngrams = if count == 0 { NgramConfig::NONE } else { NgramConfig { count, ..model.ngrams } };
        bytes = bytes_of(sizer, &cut)?;
    }
    Ok((cut, bytes))
}

/// What to say of an image that has more than [`MOST_BYTES`]; `None` of one that has not.
pub fn warning(bytes: usize) -> Option<String> {
    let over = bytes.checked_sub(MOST_BYTES).filter(|&over| over > 0)?;
    Some(format!(
        "the int8 image will have about {bytes} bytes, {over} more than 64 KiB, although its vocabulary is cut; the names of the classes and the table of characters are what is left: \
         give classes shorter names by --label-map"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{TrainConfig, default_config, default_model};
    use crate::dataset::{Example, Label, Task};
    use crate::defaults::candidates::{candidates, ngrams};
    use crate::ngrams::{Answers, rank};
    use crate::tokenization::Tokenization;
    use crate::vocabulary;
    use latch_engine::input::text::Tokens;

    /// What models cost on texts with words of many scripts: long words in bytes, and a large table of characters.
    fn sizer(task: Task, tokens: Tokens, classes: &[String]) -> Sizer {
        let letter = |from: u32, number: u32| char::from_u32(from + number % 50).unwrap_or('a');
        let starts = [0x0905, 0x0E01, 0x10A0, 0x1200, 0x1780, 0x4E00, 0xAC00, 0x0531, 0x0561, 0x0995];
        let word = |number: u32| {
            let from = starts[number as usize % starts.len()] + number / 400;
            (0..14).map(|place| letter(from, number / 10 * 7 + place * (1 + number / 70))).collect::<String>()
        };
        let examples: Vec<Example<Label>> = (0..3_000_u32)
            .map(|text| {
                let words = (0..4).map(|place| word(text * 4 + place)).collect::<Vec<_>>().join(" ");
                Example::new(Label::Class(text % task.classes().max(2)), words)
            })
            .collect();
        let tokenization = Tokenization::of_examples(tokens, &examples);
        let base = TrainConfig { task, ..default_config() };
        let ranked = vocabulary::rank(&tokenization, base.model.words, &examples);
        let keys = rank(&tokenization, &examples, Answers::of(task), &ngrams(task, tokens, 1));
        Sizer::of_ranked(&base, tokenization, &ranked, keys, examples.len()).of_classes(classes)
    }

    #[test]
    fn every_candidate_is_cut_to_64_kib_whatever_the_alphabet() {
        for (task, tokens) in [
            (Task::Classify(2), Tokens::Words),
            (Task::Classify(50), Tokens::Words),
            (Task::Classify(18), Tokens::Characters),
        ] {
            let sizer = sizer(task, tokens, &[]);
            for model in candidates(task, tokens).iter().chain([&default_model()]) {
                let whole = bytes_of(&sizer, model).expect("a size");
                let (cut, bytes) = cut(&sizer, model).expect("a size");
                assert!(bytes <= MOST_BYTES, "{cut}: {bytes}");
                assert_eq!(whole <= MOST_BYTES, cut == *model, "{model}: {whole} became {cut}: {bytes}");
                assert_eq!(warning(bytes), None);
            }
        }
        let words = sizer(Task::Classify(2), Tokens::Words, &[]);
        let (model, bytes) = cut(&words, &default_model()).expect("a size");
        assert!(model.vocab < 5_000 && bytes > MOST_BYTES * 9 / 10, "{model}: {bytes}");
    }

    #[test]
    fn where_not_even_the_smallest_fits_it_is_said_by_how_much() {
        let names: Vec<String> = (0..200).map(|number| format!("{number:0400}")).collect();
        let (model, bytes) = cut(&sizer(Task::Classify(200), Tokens::Words, &names), &default_model()).expect("a size");
        assert!(bytes > MOST_BYTES && model.vocab == 16, "{model}: {bytes}");
        let said = warning(bytes).expect("it is too large");
        assert!(said.contains(&format!("{} more than 64 KiB", bytes - MOST_BYTES)), "{said}");
        let sizer = sizer(Task::Classify(200), Tokens::Words, &names);
        let (model, _) = cut(&sizer, &candidates(Task::Classify(200), Tokens::Words)[0]).expect("a size");
        assert_eq!((model.vocab, model.ngrams), (16, NgramConfig::NONE), "{model}");
    }
}
