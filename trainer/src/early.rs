//! Early answers: from how many tokens on which logit is certain enough to stop reading.
//!
//! A logit moves as a text goes on: with the default pooling, a running maximum, it can turn round late. So the thresholds are not taken from a
//! formula but measured: the engine's logits after every token of validation texts, and what stopping there would have done. They fall as the
//! tokens rise, and a text that was right to its end and would be wrong where it stops counts against them in full, however many gain.

use anyhow::Result;
use latch_engine::image::header::{Early, MAX_EARLY};
use latch_engine::{Model, Session, View};
use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::{Example, Labels};
use crate::evaluate::state_for;

/// Thresholds that are tried, besides none.
const LEVELS: usize = 48;

/// A text as a model reads it.
#[derive(Clone, Debug)]
pub struct Trail {
    /// The logit after each token: its magnitude in Q15.16, and whether it is positive.
    pub logits: Vec<(u32, bool)>,
    /// The label is the positive one.
    pub label: bool,
}

/// What every text's logit does, token by token.
///
/// # Errors
/// An error when the engine was built without the model's precision.
pub fn trails<L: Labels>(model: &Model<'_>, examples: &[Example<L>]) -> Result<Vec<Trail>> {
    each(model, examples, |session, example| {
        let mut logits = Vec::new();
        let mut note = |session: &mut View<'_, '_, '_>, _: &[u8]| {
            let logit = session.output();
            logits.push((logit.magnitude(), logit.is_positive()));
        };
        session.push_bytes_each(example.text.as_bytes(), &mut note);
        session.finish_each(&mut note);
        Trail { logits, label: example.label.numbers()[0] > 0.5 }
    })
}

/// Runs something over every text, each from a fresh stream.
fn each<L: Labels, R: Send>(
    model: &Model<'_>,
    examples: &[Example<L>],
    work: impl Fn(&mut Session<'_, '_, '_>, &Example<L>) -> R + Sync,
) -> Result<Vec<R>> {
    let mut memory = vec![0; model.packed_bytes()];
    let model = &model.clone().pack(&mut memory)?;
    let chunks: Vec<Vec<R>> = examples
        .par_chunks(64)
        .map(|chunk| {
            let mut state = state_for(model);
            let mut session = model.session_in(&mut state)?;
            let run = |example| {
                session.reset();
                work(&mut session, example)
            };
            Ok(chunk.iter().map(run).collect())
        })
        .collect::<Result<_>>()?;
    Ok(chunks.into_iter().flatten().collect())
}

/// Where a text would stop within one step of the thresholds, for every level: after so many tokens, and whether the verdict is right there.
type Stops = Vec<Option<(u32, bool)>>;

/// Thresholds that save many tokens of these texts, while at most the share `allowed` of them turns from right to wrong, a standard deviation of
/// that count included; none where no threshold does. They go down one level at a time, always where the most tokens are saved for what it harms.
pub fn choose(trails: &[Trail], allowed: f64) -> heapless::Vec<Early, MAX_EARLY> {
    let starts = starts(trails);
    let levels = levels(trails);
    if starts.is_empty() || levels.is_empty() {
        return heapless::Vec::new();
    }
    let texts: Vec<(Vec<Stops>, bool, u64)> = trails
        .par_iter()
        .filter_map(|trail| {
            let right = trail.logits.last()?.1 == trail.label;
            Some((stops(trail, &starts, &levels), right, trail.logits.len() as u64))
        })
        .collect();
    // What happens to other texts differs from what happened to these: by a standard deviation of the count, √count, in one case of six.
    let fits = |harmed: u64| harmed as f64 + (harmed as f64).sqrt() <= allowed * texts.len() as f64;
    // Tokens read, and texts that turn from right to wrong. Level 0 is none.
    let judge = |chosen: &[usize]| -> (u64, u64) {
        texts.iter().fold((0, 0), |(read, harmed), (stops, right, tokens)| {
            let stop = stops.iter().zip(chosen).find_map(|(stops, &level)| stops[level.checked_sub(1)?]);
            let (tokens, still) = stop.map_or((*tokens, *right), |(tokens, still)| (u64::from(tokens), still));
            (read + tokens, harmed + u64::from(*right && !still))
        })
    };
    let mut chosen = vec![0; starts.len()];
    let mut now = judge(&chosen);
    loop {
        // A step may go down by a level as long as the steps behind it are not above it; the one that saves most for what it harms goes.
        let candidates: Vec<(f64, usize, (u64, u64))> = (0..starts.len())
            .into_par_iter()
            .filter(|&step| chosen[step] < chosen.get(step + 1).copied().unwrap_or(levels.len()))
            .map(|step| {
                let mut changed = chosen.clone();
                changed[step] += 1;
                let then = judge(&changed);
                let saved = now.0.saturating_sub(then.0) as f64;
                (saved / (then.1.saturating_sub(now.1) as f64 + 0.1), step, then)
            })
            .filter(|(_, _, then)| fits(then.1))
            .collect();
        let best = candidates.into_iter().max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let Some((_, step, then)) = best else { break };
        chosen[step] += 1;
        now = then;
    }
    let mut steps: heapless::Vec<Early, MAX_EARLY> = heapless::Vec::new();
    for (&tokens, &level) in starts.iter().zip(&chosen) {
        let Some(level) = level.checked_sub(1) else { continue };
        let step = Early { tokens, logit: levels[level] };
        if steps.last().is_none_or(|last| last.logit != step.logit) {
            // There are at most as many starts.
            let _ = steps.push(step);
        }
    }
    steps
}

/// The tokens at which the steps begin: to nine of ten texts' ends, each in the same ratio to the one before.
fn starts(trails: &[Trail]) -> Vec<u32> {
    let mut lengths: Vec<usize> = trails.iter().map(|trail| trail.logits.len()).filter(|&length| length > 0).collect();
    lengths.sort_unstable();
    let Some(&long) = lengths.get(lengths.len() * 9 / 10) else { return Vec::new() };
    let (first, long) = ((long as f64 / 32.0).max(1.0), long as f64);
    let mut starts: Vec<u32> = (0..MAX_EARLY)
        .map(|step| (first * (long / first).powf(step as f64 / MAX_EARLY as f64)).round() as u32)
        .collect();
    starts.dedup();
    starts
}

/// Magnitudes of logits, falling: from the largest to the middle one of all that occur.
fn levels(trails: &[Trail]) -> Vec<u32> {
    let mut magnitudes: Vec<u32> =
        trails.iter().flat_map(|trail| &trail.logits).map(|&(magnitude, _)| magnitude).collect();
    magnitudes.sort_unstable_by(|a, b| b.cmp(a));
    let mut levels: Vec<u32> =
        (1..=LEVELS).filter_map(|level| magnitudes.get(magnitudes.len() * level / (2 * LEVELS)).copied()).collect();
    levels.dedup();
    levels
}

fn stops(trail: &Trail, starts: &[u32], levels: &[u32]) -> Vec<Stops> {
    let mut stops = vec![vec![None; levels.len()]; starts.len()];
    for (index, &(magnitude, positive)) in trail.logits.iter().enumerate() {
        let tokens = index as u32 + 1;
        let Some(step) = starts.iter().rposition(|&start| start <= tokens) else { continue };
        // Levels fall: those at or below the magnitude are the last ones.
        let reached = levels.partition_point(|&level| level > magnitude);
        for stop in stops[step][reached..].iter_mut().take_while(|stop| stop.is_none()) {
            *stop = Some((tokens, positive == trail.label));
        }
    }
    stops
}

/// What stopping early does to a set of texts, by the engine's own test after every token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct EarlyReport {
    /// Texts.
    pub texts: u64,
    /// Texts that stop before their end.
    pub stopped: u64,
    /// Tokens of all texts.
    pub tokens: u64,
    /// Tokens that are read.
    pub read: u64,
    /// Share of right verdicts at the end of all texts.
    pub accuracy: f64,
    /// Share of right verdicts where the texts stop.
    pub early_accuracy: f64,
}

impl EarlyReport {
    /// The share of the tokens that are not read.
    pub fn saved(&self) -> f64 {
        1.0 - self.read as f64 / self.tokens.max(1) as f64
    }
}

/// Reads every text to its end, and notes where it could have stopped.
///
/// # Errors
/// As [`trails`].
pub fn report<L: Labels>(model: &Model<'_>, examples: &[Example<L>]) -> Result<EarlyReport> {
    let texts = each(model, examples, |session, example| {
        let mut stop = None;
        let mut note = |session: &mut View<'_, '_, '_>, _: &[u8]| {
            stop = stop.or_else(|| session.early().map(|verdict| (session.tokens(), verdict)));
        };
        session.push_bytes_each(example.text.as_bytes(), &mut note);
        session.finish_each(&mut note);
        let label = example.label.numbers()[0] > 0.5;
        let end = (session.tokens(), session.output().is_positive());
        (label, end, stop)
    })?;
    let mut report = EarlyReport { texts: texts.len() as u64, ..EarlyReport::default() };
    for (label, end, stop) in texts {
        let (read, verdict) = stop.unwrap_or(end);
        report.stopped += u64::from(read < end.0);
        report.tokens += u64::from(end.0);
        report.read += u64::from(read);
        report.accuracy += f64::from(u8::from(end.1 == label));
        report.early_accuracy += f64::from(u8::from(verdict == label));
    }
    report.accuracy /= report.texts.max(1) as f64;
    report.early_accuracy /= report.texts.max(1) as f64;
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Logits that walk towards their label, some of them away from it first.
    fn walks(count: usize) -> Vec<Trail> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let walk = |_| {
            let label = rng.random::<bool>();
            let mut z = 0.0_f64;
            let logits = (0..rng.random_range(5..120))
                .map(|_| {
                    z += rng.random_range(-1.0..1.0) + if label { 0.1 } else { -0.1 };
                    ((z.abs() * 65_536.0) as u32, z >= 0.0)
                })
                .collect();
            Trail { logits, label }
        };
        (0..count).map(walk).collect()
    }

    /// What thresholds do, token by token, as a stream meets them: share read, and share that turns from right to wrong.
    fn follow(trails: &[Trail], steps: &[Early]) -> (f64, f64) {
        let (mut read, mut tokens, mut harmed) = (0, 0, 0);
        for trail in trails {
            let certain = |&(at, (magnitude, _)): &(usize, (u32, bool))| {
                let step = steps.iter().rev().find(|step| step.tokens <= at as u32 + 1);
                step.is_some_and(|step| magnitude >= step.logit)
            };
            let end = trail.logits.len() - 1;
            let stop = trail.logits.iter().copied().enumerate().find(certain).map_or(end, |(at, _)| at);
            read += stop + 1;
            tokens += end + 1;
            harmed += usize::from(trail.logits[end].1 == trail.label && trail.logits[stop].1 != trail.label);
        }
        (read as f64 / tokens as f64, harmed as f64 / trails.len() as f64)
    }

    #[test]
    fn thresholds_fall_save_tokens_and_harm_no_more_than_is_allowed() {
        let trails = walks(2_000);
        let mut last = 1.0;
        for allowed in [0.0, 0.005, 0.02, 0.1] {
            let steps = choose(&trails, allowed);
            let falls = |pair: &[Early]| pair[0].tokens < pair[1].tokens && pair[0].logit > pair[1].logit;
            assert!(!steps.is_empty() && steps.windows(2).all(falls), "{steps:?}");
            let (read, harmed) = follow(&trails, &steps);
            assert!(harmed <= allowed, "{harmed} of {allowed}");
            assert!(read <= last, "{read} {last}");
            last = read;
        }
        assert!(last < 0.8, "{last}");
    }

    #[test]
    fn no_texts_and_texts_without_tokens_have_no_thresholds() {
        assert!(choose(&[], 0.1).is_empty());
        assert!(choose(&[Trail { logits: Vec::new(), label: true }], 0.1).is_empty());
    }
}
