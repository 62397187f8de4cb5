//! Which trials are worth more than others, which go on, and how far: successive halving with thirds.

use super::trials::Trial;

/// Of the trials of a round, one in so many goes on, with so many times the epochs.
const KEEP: usize = 3;

/// Rounds at most.
const ROUNDS: u32 = 3;

/// Images in the order of their worth: by accuracy, then exactly equal ones by bytes, then by loss.
pub(super) fn by_worth(images: &mut [Trial]) {
    let key = |trial: &Trial| trial.measured().unwrap_or((usize::MAX, f64::NEG_INFINITY, f64::INFINITY));
    images.sort_by(|a, b| {
        let ((bytes, accuracy, loss), (other_bytes, other_accuracy, other_loss)) = (key(a), key(b));
        let worth = other_accuracy.total_cmp(&accuracy).then(bytes.cmp(&other_bytes));
        worth.then(loss.total_cmp(&other_loss)).then(a.trial.cmp(&b.trial))
    });
}

/// The indices of the trials that go on to the next round, `count` of a round's images at most: the best by accuracy, then by loss. Where there is room for
/// three or more, every second place is for the front, evenly from its smallest image to its largest, so that small images are trained on, too.
pub(super) fn promoted(images: &[Trial], count: usize) -> Vec<usize> {
    let mut order: Vec<&Trial> = images.iter().filter(|trial| trial.measured().is_some()).collect();
    let key = |trial: &Trial| trial.measured().unwrap_or_default();
    order.sort_by(|a, b| {
        let ((bytes, accuracy, loss), (other_bytes, other_accuracy, other_loss)) = (key(a), key(b));
        let rank = other_accuracy.total_cmp(&accuracy).then(loss.total_cmp(&other_loss));
        rank.then(bytes.cmp(&other_bytes)).then(a.trial.cmp(&b.trial))
    });
    let best = if count < 3 { count } else { count.div_ceil(2) };
    let mut chosen: Vec<usize> = order.iter().take(best).map(|trial| trial.trial).collect();
    let rest: Vec<usize> =
        front(images).into_iter().map(|trial| trial.trial).filter(|trial| !chosen.contains(trial)).collect();
    let places = count.saturating_sub(chosen.len()).min(rest.len());
    chosen.extend((0..places).map(|place| rest[place * rest.len() / places]));
    let others: Vec<usize> = order.iter().map(|trial| trial.trial).filter(|trial| !chosen.contains(trial)).collect();
    chosen.extend(others);
    chosen.truncate(count);
    chosen.into_iter().map(|trial| trial - 1).collect()
}

/// One standard error of an accuracy that was measured on so many answers.
pub fn standard_error(accuracy: f64, answers: usize) -> f64 {
    (accuracy * (1.0 - accuracy) / answers.max(1) as f64).max(0.0).sqrt()
}

/// Those of the images, which no other equals or beats in bytes and in accuracy, by rising bytes.
pub fn front(images: &[Trial]) -> Vec<&Trial> {
    let mut by_bytes: Vec<(usize, f64, &Trial)> = images
        .iter()
        .filter_map(|trial| trial.measured().map(|(bytes, accuracy, _)| (bytes, accuracy, trial)))
        .collect();
    by_bytes.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)).then(a.2.trial.cmp(&b.2.trial)));
    let mut best = f64::NEG_INFINITY;
    by_bytes.retain(|&(_, accuracy, _)| {
        let better = accuracy > best;
        best = best.max(accuracy);
        better
    });
    by_bytes.into_iter().map(|(_, _, trial)| trial).collect()
}

/// How many trials each round has, and to which epoch they go.
pub(super) fn rounds(trials: usize, epochs: u64) -> Vec<(usize, u64)> {
    let mut rounds: Vec<(usize, u64)> = Vec::new();
    for round in 0..ROUNDS {
        let until = epochs.div_ceil((KEEP as u64).pow(ROUNDS - 1 - round));
        let count = trials.div_ceil(KEEP.pow(round));
        match rounds.last_mut() {
            // So few epochs that two rounds would be one.
            Some(last) if last.1 == until => {}
            _ => rounds.push((count, until)),
        }
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_config;
    use crate::search::trials::Verdict;

    fn image(trial: usize, image_bytes: usize, accuracy: f64) -> Trial {
        Trial {
            round: 1,
            trial,
            run: String::from("trial"),
            epochs: 1,
            precision: "int8".into(),
            predicted_bytes: image_bytes,
            state_bytes: 0,
            latency_us: None,
            model: default_config().model,
            verdict: Verdict::Measured { image_bytes, accuracy, loss: 1.0 - accuracy },
        }
    }

    #[test]
    fn of_equally_accurate_images_the_smallest_is_the_best_and_the_best_is_on_the_front() {
        let mut images = [image(1, 48_168, 1.0), image(2, 9_000, 0.99), image(3, 2_616, 1.0), image(4, 1_000, 0.9)];
        by_worth(&mut images);
        assert_eq!(images.each_ref().map(|image| image.trial), [3, 1, 2, 4]);
        assert_eq!(front(&images).last().map(|image| image.trial), Some(3));
    }

    #[test]
    fn small_images_of_the_front_go_on_beside_the_most_accurate_ones() {
        let large: Vec<Trial> = (1..=8).map(|trial| image(trial, 60_000 + trial, 0.9 + trial as f64 / 100.0)).collect();
        let small = [image(9, 1_000, 0.6), image(10, 4_000, 0.7), image(11, 8_000, 0.65)];
        let images = [large, small.to_vec()].concat();
        // The best three; then the smallest of the front, and what lies between.
        let next = promoted(&images, 6);
        assert!(next.starts_with(&[7, 6, 5]) && next.contains(&8) && next.len() == 6, "{next:?}");
        // The last round is for the best.
        assert_eq!(promoted(&images, 2), [7, 6]);
        assert_eq!(promoted(&images, 20).len(), 11);
        assert_eq!(promoted(&[], 6), [] as [usize; 0]);
    }

    #[test]
    fn the_front_has_what_nothing_smaller_equals() {
        let images =
            [image(1, 300, 0.8), image(2, 100, 0.7), image(3, 200, 0.7), image(4, 400, 0.9), image(5, 300, 0.75)];
        assert_eq!(front(&images).iter().map(|trial| trial.trial).collect::<Vec<_>>(), [2, 1, 4]);
    }

    #[test]
    fn every_round_keeps_a_third_and_goes_three_times_as_far() {
        assert_eq!(rounds(18, 10), [(18, 2), (6, 4), (2, 10)]);
        assert_eq!(rounds(9, 1), [(9, 1)]);
        assert_eq!(rounds(1, 9), [(1, 1), (1, 3), (1, 9)]);
    }
}
