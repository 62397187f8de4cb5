//! Folding an embedding into a budget of flash: as many ids as fit, those first that training reads most.

use anyhow::Result;
use latch_engine::image::Image;
use latch_engine::image::encode::AlignedBytes;
use latch_engine::{project, projected_image_bytes};

use crate::error::fault;
use crate::network::tiers;
use crate::quantizer::Weights;

/// A folded image, and what it folds.
#[derive(Clone, Debug)]
pub struct Folded {
    /// The image.
    pub bytes: AlignedBytes,
    /// Ids with a ready row.
    pub ids: usize,
    /// The part of the training examples' tokens that are these ids, 0 to 1; `None` where the network was not calibrated.
    pub share: Option<f64>,
}

/// The `count` ids that the training examples read most, most first; ties go to the smaller id.
pub fn most_frequent(weights: &Weights, count: usize) -> Vec<u32> {
    tiers::most_frequent(&weights.occurrences, weights.embedding.len() / weights.width, count)
}

/// Folds the embedding of an image of these weights so that the whole image has at most `budget` bytes.
///
/// # Errors
/// A fault with both sizes when not even one id fits, and one for a model without recurrent layers.
pub fn fold_to(image: &Image<'_>, weights: &Weights, budget: usize) -> Result<Folded> {
    if weights.layers.is_empty() {
        return Err(fault(
            "--fold-to",
            "a bag of embeddings has no recurrent layer to fold into",
            "leave the option out: its step is a few additions already",
        )
        .into());
    }
    if weights.tiers.is_some() {
        let problem = "an embedding in tiers cannot be folded";
        return Err(fault("--fold-to", problem, "leave the option out, or train without whole=").into());
    }
    let rows = image.description().embedding.rows;
    let fits = |ids: u32| projected_image_bytes(image, ids).is_ok_and(|bytes| bytes <= budget);
    // The size grows with every id: the first number that does not fit, by halving.
    let (mut most, mut beyond) = (0, rows + 1);
    while beyond - most > 1 {
        let middle = most + (beyond - most) / 2;
        if fits(middle) { most = middle } else { beyond = middle }
    }
    if most == 0 {
        return Err(fault(
            "--fold-to",
            format!(
                "a budget of {budget} bytes: the image has {} bytes without a folded embedding, and {} with a single folded id",
                image.len(),
                projected_image_bytes(image, 1)?
            ),
            "give more bytes, or leave the option out",
        )
        .into());
    }
    let ids = most_frequent(weights, most as usize);
    let all: f64 = weights.occurrences.iter().map(|&count| f64::from(count)).sum();
    let folded: f64 =
        ids.iter().filter_map(|&id| weights.occurrences.get(id as usize)).map(|&count| f64::from(count)).sum();
    Ok(Folded { bytes: project(image, &ids)?, ids: ids.len(), share: (all > 0.0).then_some(folded / all) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantizer::{Origin, to_image};
    use crate::vocabulary::Vocabulary;
    use latch_engine::Precision;
    use latch_engine::input::text::Unknown;
    use latch_engine::layers::pooling::Pooling;

    #[test]
    fn the_image_takes_as_many_ids_as_the_budget_has_room_for_and_no_more() -> Result<()> {
        let words: Vec<String> = (0..100).map(|number| format!("word{number}")).collect();
        let vocabulary = Vocabulary::from_words(words, Unknown::LastRow);
        let often: Vec<u32> = (0..101).flat_map(|id| vec![id; 1 + id as usize % 7]).collect();
        let weights = Weights::random(101, 4, &[6], Pooling::Last, 3).calibrated([often.as_slice()]);
        for precision in [Precision::Int8, Precision::F16] {
            let bytes = to_image(&weights, &vocabulary, precision, &Origin::default())?;
            let image = Image::open(&bytes)?;
            let (least, all) = (projected_image_bytes(&image, 1)?, projected_image_bytes(&image, 101)?);
            for budget in least..all + 2 {
                let ids = fold_to(&image, &weights, budget)?;
                assert!(ids.bytes.len() <= budget);
                let more = projected_image_bytes(&image, ids.ids as u32 + 1);
                assert!(ids.ids == 101 || more.is_ok_and(|bytes| bytes > budget));
            }
            assert_eq!(fold_to(&image, &weights, usize::MAX)?.share, Some(1.0));
            let error = fold_to(&image, &weights, least - 1).expect_err("no id fits").to_string();
            assert!(error.contains(&least.to_string()) && error.contains(&image.len().to_string()), "{error}");
        }
        Ok(())
    }
}
