//! Images of random weights, made by the trainer as it makes those of trained networks.

use anyhow::Result;
use latch_engine::Precision;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::input::text::Unknown;
use latch_engine::layers::pooling::Pooling;
use latch_trainer::quantizer::{Origin, Weights, to_image};
use latch_trainer::vocabulary::Vocabulary;

use crate::REVIEW;

/// The precisions that are measured.
pub const PRECISIONS: [Precision; 4] = [Precision::F32, Precision::F16, Precision::Int8, Precision::Int16];

/// Words of the review model's vocabulary.
const REVIEW_WORDS: usize = 5000;

/// Words in the images for one step: few, as a step costs the same with any number.
const STEP_WORDS: usize = 8;

/// The seed of all weights.
pub(crate) const SEED: u64 = 1;

/// The image for one step: `Embedding(8, size) > LSTM(size) > 1`, pooling last.
///
/// # Errors
/// Those of the quantizer; none at the [sizes](crate::SIZES) that are measured.
pub fn step_image(precision: Precision, size: usize) -> Result<AlignedBytes> {
    image(&invented_words(STEP_WORDS), size, size, Pooling::Last, precision)
}

/// The image for counting one step on a chip: one layer of that many inputs and units, few enough words for the smallest flash.
///
/// # Errors
/// Those of the quantizer; none in practice.
pub fn chip_image(precision: Precision, (inputs, units): (usize, usize)) -> Result<AlignedBytes> {
    image(&invented_words(STEP_WORDS), inputs, units, Pooling::Last, precision)
}

/// The image for whole reviews: `Embedding(5000, 8) > LSTM(32) > 1`, pooling mean; about 64 KiB at int8.
///
/// Its vocabulary has the words of [`REVIEW`] but the long ones, which read as unknown, and is filled up with invented words.
///
/// # Errors
/// Those of the quantizer; none in practice.
pub fn review_image(precision: Precision) -> Result<AlignedBytes> {
    let known = Vocabulary::build([REVIEW].into_iter(), REVIEW_WORDS, Unknown::LastRow);
    let mut words: Vec<String> = known.words().iter().filter(|word| word.len() < 9).cloned().collect();
    let mut invented = (0..).map(invented_word).filter(|word| !known.words().contains(word));
    while words.len() < REVIEW_WORDS - 1 {
        words.extend(invented.next());
    }
    image(&Vocabulary::from_words(words, Unknown::LastRow), 8, 32, Pooling::Mean, precision)
}

fn image(
    vocabulary: &Vocabulary,
    width: usize,
    units: usize,
    pooling: Pooling,
    precision: Precision,
) -> Result<AlignedBytes> {
    let weights = Weights::random(vocabulary.rows(), width, &[units], pooling, SEED);
    to_image(&weights, vocabulary, precision, &Origin::default())
}

/// A vocabulary of so many invented words.
pub(crate) fn invented_words(count: usize) -> Vocabulary {
    Vocabulary::from_words((0..count).map(invented_word).collect(), Unknown::Skip)
}

/// Word `number` of an invented language: two or more syllables, each a consonant and a vowel. Different for different numbers.
fn invented_word(number: usize) -> String {
    const CONSONANTS: &[u8] = b"bcdfghjklmnpqrstvwxz";
    const VOWELS: &[u8] = b"aeiou";
    let mut word = String::new();
    let mut rest = number;
    while rest > 0 || word.len() < 4 {
        word.push(char::from(CONSONANTS[rest % CONSONANTS.len()]));
        word.push(char::from(VOWELS[rest / CONSONANTS.len() % VOWELS.len()]));
        rest /= CONSONANTS.len() * VOWELS.len();
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{REVIEW_STATE_BYTES, SIZES, STEP_STATE_BYTES};
    use latch_engine::image::Image;
    use latch_engine::{Model, State};

    #[test]
    fn every_measured_image_opens_and_its_stream_fits_the_state() -> Result<()> {
        for precision in PRECISIONS {
            for size in SIZES {
                let image = step_image(precision, size)?;
                let model = Model::new(&Image::open(&image)?);
                let mut state = State::<STEP_STATE_BYTES>::new();
                let mut session = model.session(&mut state)?;
                assert!(session.push_token(STEP_WORDS as u32 - 1));
            }
            let image = review_image(precision)?;
            let model = Model::new(&Image::open(&image)?);
            let mut state = State::<REVIEW_STATE_BYTES>::new();
            let mut session = model.session(&mut state)?;
            session.push_bytes(REVIEW.as_bytes());
            session.finish();
            assert!((200..400).contains(&session.tokens()), "the review has {} tokens", session.tokens());
        }
        Ok(())
    }

    #[test]
    fn the_review_image_has_about_64_kib() -> Result<()> {
        let kib = review_image(Precision::Int8)?.len() / 1024;
        assert!((48..80).contains(&kib), "{kib} KiB");
        Ok(())
    }
}
