//! The training part of an epoch with random changes: noise, a gain for each series, a shift in time.
//!
//! ```text
//! z'_t = m + g·(z_{t−s} − m) + ε        held to the channel's range, which the image has
//! g ~ N(1, scale²)  and  s ~ U{−shift … shift}  for each series        ε ~ N(0, (noise·deviation)²)  for each value
//! ```
//!
//! m and the deviation are the channel's over the training part, as the network reads it. Where a shift leaves no frame, the first or the last one stands. Labels of
//! steps move with their frames, and steps without one have none. What is drawn depends on the seed, the epoch and the number of the series alone.

use std::sync::Arc;

use rand::RngExt;

use super::sequences::Sequences;
use crate::batches::{generator, normal};
use crate::config::augment::Augment;
use crate::samples::{Frames, Scaling};

/// The last word of the seeds: no other purpose shares the stream.
const PURPOSE: u64 = 0x6175_676d;

/// The mean and the standard deviation of a channel.
#[derive(Clone, Copy)]
struct Spread {
    mean: f64,
    deviation: f64,
}

fn spreads(frames: &Frames) -> Vec<Spread> {
    let of = |channel: usize| {
        let values = || frames.values.iter().skip(channel).step_by(frames.channels).map(|&value| f64::from(value));
        let count = (frames.values.len() / frames.channels).max(1) as f64;
        let mean = values().sum::<f64>() / count;
        let square = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Spread { mean, deviation: square.sqrt() }
    };
    (0..frames.channels).map(of).collect()
}

/// The sequences of an epoch, whose ids are numbers of frames, as they are changed in it.
pub(super) fn augmented(
    training: &Sequences,
    augment: &Augment,
    scaling: &Scaling,
    (seed, epoch): (u64, u64),
) -> Sequences {
    let Frames { values, channels } = &training.frames;
    let channels = *channels;
    let spreads = spreads(&training.frames);
    let mut changed = values.to_vec();
    let mut sequences = training.clone();
    for (index, ids) in training.ids.iter().enumerate() {
        let rng = &mut generator([seed, epoch, index as u64, PURPOSE]);
        let gain = 1.0 + augment.scale * normal(rng);
        let most = i64::from(augment.shift);
        let shift = rng.random_range(-most..=most);
        let last = ids.len().saturating_sub(1) as i64;
        for (step, &id) in (0_i64..).zip(ids) {
            let from = ids[(step - shift).clamp(0, last) as usize] as usize * channels;
            for (channel, (&Spread { mean, deviation }, scaled)) in spreads.iter().zip(&scaling.channels).enumerate() {
                let value = mean + gain * (f64::from(values[from + channel]) - mean);
                let value = value + augment.noise * deviation * normal(rng);
                changed[id as usize * channels + channel] = (value as f32).clamp(-scaled.range, scaled.range);
            }
        }
        let labels = &training.labels[index];
        // One label is that of the whole series, however it is moved.
        if labels.len() == ids.len() && labels.len() > 1 {
            let moved = |step: i64| labels.get(usize::try_from(step - shift).unwrap_or(usize::MAX)).copied();
            sequences.labels[index] = (0..=last).map(|step| moved(step).unwrap_or(f32::NAN)).collect();
        }
    }
    sequences.frames = Frames { values: Arc::new(changed), channels };
    sequences
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Channel;

    fn training() -> (Sequences, Scaling) {
        let values: Vec<f32> = (0..2_000).map(|place| ((place * 37 % 101) as f32 - 50.0) / 25.0).collect();
        let channel = Channel { offset: 0.0, factor: 1.0, range: 4.0, unit: 1.0 };
        let sequences = Sequences {
            ids: (0..10).map(|number| (number * 100..(number + 1) * 100).collect()).collect(),
            labels: (0..10).map(|number| (0..100).map(|step| (100 * number + step) as f32).collect()).collect(),
            frames: Frames { values: Arc::new(values), channels: 2 },
            ..Sequences::default()
        };
        (sequences, Scaling { lag: 0, channels: vec![channel; 2], skip: None, skip_factor: 1.0, open: false })
    }

    #[test]
    fn one_seed_and_epoch_give_the_same_series_and_another_one_gives_others() {
        let (sequences, scaling) = training();
        let augment = Augment { noise: 0.1, scale: 0.1, shift: 4 };
        let of = |seed, epoch| augmented(&sequences, &augment, &scaling, (seed, epoch));
        let frames = |seed, epoch| of(seed, epoch).frames;
        assert!(frames(1, 2) == frames(1, 2) && frames(1, 2) != frames(1, 3) && frames(1, 2) != frames(2, 2));
        assert_eq!(augmented(&sequences, &Augment::default(), &scaling, (1, 2)), sequences);
    }

    #[test]
    fn a_shift_moves_frames_and_labels_together_and_holds_the_ends() {
        let (sequences, scaling) = training();
        let moved = augmented(&sequences, &Augment { shift: 4, ..Augment::default() }, &scaling, (1, 0));
        let mut shifts = std::collections::BTreeSet::new();
        for (index, ids) in sequences.ids.iter().enumerate() {
            let first = (0..100).find(|&step| moved.labels[index][step].is_finite()).expect("some are left");
            let shift = first as i64 - (moved.labels[index][first] as i64 - 100 * index as i64);
            assert!((-4..=4).contains(&shift));
            shifts.insert(shift);
            for (step, &id) in (0_i64..).zip(ids) {
                let from = ids[(step - shift).clamp(0, 99) as usize] as usize;
                let found = &moved.frames.values[2 * id as usize..][..2];
                let expected = &sequences.frames.values[2 * from..][..2];
                // The mean is taken away and added again.
                assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{shift} at {step}");
                let label = moved.labels[index][step as usize];
                let is_inside = (0..100).contains(&(step - shift));
                assert!(if is_inside { label == from as f32 } else { label.is_nan() }, "{shift} at {step}: {label}");
            }
        }
        assert!(shifts.len() > 3, "{shifts:?}");
    }

    #[test]
    fn noise_and_gain_have_their_deviations_and_values_stay_in_the_range() {
        let (sequences, scaling) = training();
        let of = |augment: Augment, scaling: &Scaling| augmented(&sequences, &augment, scaling, (1, 0));
        let noisy = of(Augment { noise: 0.2, ..Augment::default() }, &scaling);
        let pairs = noisy.frames.values.iter().zip(sequences.frames.values.iter());
        let square: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>() / 2_000.0;
        let deviation = spreads(&sequences.frames)[0].deviation;
        assert!((square.sqrt() / deviation - 0.2).abs() < 0.02, "{}", square.sqrt() / deviation);
        let narrow = Channel { range: 0.5, ..scaling.channels[0] };
        let cut = of(
            Augment { scale: 0.3, ..Augment::default() },
            &Scaling { lag: 0, channels: vec![narrow; 2], skip: None, skip_factor: 1.0, open: false },
        );
        assert!(cut.frames.values.iter().all(|value| value.abs() <= 0.5));
    }
}
