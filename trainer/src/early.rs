//! Early answers: from how many tokens on which logit is certain enough to stop reading.
//!
//! A logit moves as a text goes on: with the default pooling, a running maximum, it can turn round late. So the thresholds are not taken from a
//! formula but measured: the engine's logits after every token of validation texts, and what stopping there would have done. They fall as the
//! tokens rise, and a text that was right to its end and would be wrong where it stops counts against them in full, however many gain.
//!
//! The share of texts that is harmed is promised for other texts, by "Learn then Test" (Angelopoulos, Bates, Candès, Jordan and Lei, 2021) with a fixed sequence of
//! tests: training texts decide in what order thresholds are lowered; the validation texts test one set of thresholds after the other, and the last one counts before the first that fails. A set passes where so few harmed texts would come by chance in at most [`DOUBT`] of all cases if more than the allowed share were harmed:
//!
//! ```text
//! P(X ≤ harmed) ≤ DOUBT      X ~ Binomial(texts, allowed)
//! ```

use anyhow::Result;
use latch_engine::image::header::{Early, MAX_EARLY};
use latch_engine::{Model, Session, View};
use rayon::prelude::*;
use serde::Serialize;

use crate::dataset::{Example, Labels};
use crate::evaluate::state_for;

/// Thresholds that are tried, besides none.
const LEVELS: usize = 48;

/// In at most this share of all exports more texts are harmed than is promised.
pub const DOUBT: f64 = 0.05;

/// How far the order goes: to so many times the share that is allowed. Beyond, no test passes.
const BEYOND: f64 = 2.0;

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

/// Fewest validation texts with which thresholds can be promised to harm at most the share `allowed` of other texts; `None` where no number is enough.
///
/// ```text
/// (1 − allowed)^texts ≤ DOUBT
/// ```
pub fn fewest(allowed: f64) -> Option<usize> {
    let texts = DOUBT.ln() / (-allowed).ln_1p();
    texts.is_finite().then(|| texts.ceil() as usize)
}

/// Thresholds that save many tokens, and turn at most the share `allowed` of other texts from right to wrong, but for a share of [`DOUBT`] of all cases; none where no threshold does, and
/// where those that test are fewer than [`fewest`]. No text may both learn and test.
pub fn choose(learning: &[Trail], testing: &[Trail], allowed: f64) -> heapless::Vec<Early, MAX_EARLY> {
    let (starts, levels) = (starts(learning), levels(learning));
    let [learning, testing] = [learning, testing].map(|trails| Texts::of(trails, &starts, &levels));
    let passes = |chosen: &Vec<usize>| {
        let harmed = testing.judge(chosen).harmed;
        at_most(harmed, testing.0.len() as u64, allowed) <= DOUBT
    };
    let sequence = learning.sequence(&levels, BEYOND * allowed);
    let chosen = sequence.into_iter().take_while(passes).last().unwrap_or_default();
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

/// `P(X ≤ most)` of a binomially distributed number of `count` with probability `share`; the terms are added as logarithms, because the first may be too small for a number.
fn at_most(most: u64, count: u64, share: f64) -> f64 {
    if share <= 0.0 || most >= count {
        return 1.0;
    }
    let ratio = share.ln() - (-share).ln_1p();
    let mut term = count as f64 * (-share).ln_1p();
    let mut sum = term;
    for number in 0..most {
        term += ((count - number) as f64 / (number + 1) as f64).ln() + ratio;
        let (low, high) = if sum < term { (sum, term) } else { (term, sum) };
        sum = high + (low - high).exp().ln_1p();
    }
    sum.exp().min(1.0)
}

/// Texts with where they would stop, by step and level; whether they are right at their end, and how many tokens they have.
struct Texts(Vec<(Vec<Stops>, bool, u64)>);

/// What thresholds do to texts.
#[derive(Clone, Copy)]
struct Done {
    /// Tokens that are read.
    read: u64,
    /// Texts that turn from right to wrong.
    harmed: u64,
}

impl Texts {
    fn of(trails: &[Trail], starts: &[u32], levels: &[u32]) -> Self {
        let text = |trail: &Trail| {
            let right = trail.logits.last()?.1 == trail.label;
            Some((stops(trail, starts, levels), right, trail.logits.len() as u64))
        };
        Texts(trails.par_iter().filter_map(text).collect())
    }

    /// What one level a step does; level 0 is none.
    fn judge(&self, chosen: &[usize]) -> Done {
        self.0.iter().fold(Done { read: 0, harmed: 0 }, |done, (stops, right, tokens)| {
            let stop = stops.iter().zip(chosen).find_map(|(stops, &level)| stops[level.checked_sub(1)?]);
            let (tokens, still) = stop.map_or((*tokens, *right), |(tokens, still)| (u64::from(tokens), still));
            Done { read: done.read + tokens, harmed: done.harmed + u64::from(*right && !still) }
        })
    }

    /// Levels of all steps, each one level lower than the set before, always where the most tokens are saved for what it harms, until more than the share `most` of the texts is harmed.
    fn sequence(&self, levels: &[u32], most: f64) -> Vec<Vec<usize>> {
        let steps = self.0.first().map_or(0, |(stops, ..)| stops.len());
        let fits = |harmed: u64| harmed as f64 <= most * self.0.len() as f64;
        let mut chosen = vec![0; steps];
        let mut now = self.judge(&chosen);
        let mut sequence = Vec::new();
        loop {
            // A step may go down by a level as long as the steps behind it are not above it; the one that saves most for what it harms goes.
            let candidates: Vec<(f64, usize, Done)> = (0..steps)
                .into_par_iter()
                .filter(|&step| chosen[step] < chosen.get(step + 1).copied().unwrap_or(levels.len()))
                .map(|step| {
                    let mut changed = chosen.clone();
                    changed[step] += 1;
                    let then = self.judge(&changed);
                    let saved = now.read.saturating_sub(then.read) as f64;
                    (saved / (then.harmed.saturating_sub(now.harmed) as f64 + 0.1), step, then)
                })
                .filter(|(_, _, then)| fits(then.harmed))
                .collect();
            let best = candidates.into_iter().max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
            let Some((_, step, then)) = best else { return sequence };
            chosen[step] += 1;
            now = then;
            sequence.push(chosen.clone());
        }
    }
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
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// Logits that walk towards their label, some of them away from it first.
    fn walks(seed: u64, count: usize) -> Vec<Trail> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
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
    fn thresholds_fall_save_tokens_and_the_more_they_may_harm() {
        let (learning, trails) = (walks(4, 1_000), walks(3, 2_000));
        let mut last = 1.0;
        for allowed in [0.005, 0.02, 0.1] {
            let steps = choose(&learning, &trails, allowed);
            let falls = |pair: &[Early]| pair[0].tokens < pair[1].tokens && pair[0].logit > pair[1].logit;
            assert!(!steps.is_empty() && steps.windows(2).all(falls), "{steps:?}");
            let (read, _) = follow(&trails, &steps);
            assert!(read < last, "{read} {last}");
            last = read;
        }
        assert!(last < 0.8, "{last}");
        assert!(choose(&learning, &trails, 0.0).is_empty(), "no number of texts shows that none is harmed");
    }

    #[test]
    fn what_is_promised_holds_for_other_texts_but_for_chance_in_fifty_random_divisions() {
        let (learning, mut trails) = (walks(5, 1_000), walks(7, 12_000));
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let (allowed, mut broken, mut saved) = (0.02, 0, 0.0);
        for _ in 0..50 {
            trails.shuffle(&mut rng);
            let (validation, others) = trails.split_at(2_000);
            let (read, harmed) = follow(others, &choose(&learning, validation, allowed));
            broken += usize::from(harmed > allowed);
            saved += (1.0 - read) / 50.0;
        }
        // One division in twenty may break it. More than five of fifty would do so in 4 % of all tests.
        assert!((0.95..0.97).contains(&at_most(5, 50, DOUBT)));
        assert!(broken <= 5, "{broken} of 50 are harmed more than {allowed}");
        assert!(saved > 0.1, "{saved}");
    }

    #[test]
    fn the_tail_of_the_binomial_distribution_is_summed_right_where_its_terms_vanish_too() {
        assert!((at_most(0, 10, 0.1) - 0.9_f64.powi(10)).abs() < 1e-12);
        assert!((at_most(2, 10, 0.1) - 0.929_809_173_6).abs() < 1e-9);
        assert!((at_most(9, 10, 0.5) - (1.0 - 0.5_f64.powi(10))).abs() < 1e-12);
        assert_eq!((at_most(10, 10, 0.5), at_most(0, 10, 0.0)), (1.0, 1.0));
        // (1 − 0.1)^100,000 is no number of 64 bits.
        let middle = at_most(10_000, 100_000, 0.1);
        assert!((middle - 0.5).abs() < 0.01, "{middle}");
    }

    #[test]
    fn fewer_texts_than_a_promise_needs_have_no_thresholds() {
        assert_eq!((fewest(0.0), fewest(0.005), fewest(0.5)), (None, Some(598), Some(5)));
        // Texts of which stopping harms none.
        let certain = Trail { logits: vec![(65_536, true); 40], label: true };
        let of = |count: usize| choose(&vec![certain.clone(); 50], &vec![certain.clone(); count], 0.005);
        assert!(of(597).is_empty() && !of(598).is_empty());
    }

    #[test]
    fn no_texts_and_texts_without_tokens_have_no_thresholds() {
        assert!(choose(&[], &[], 0.1).is_empty());
        let empty = [Trail { logits: Vec::new(), label: true }];
        assert!(choose(&empty, &empty, 0.1).is_empty());
    }
}
