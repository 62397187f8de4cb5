//! Dividing a set of recordings: seeded, evenly by class, or in time, and without a leak.

use std::collections::HashMap;

use anyhow::Result;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

use super::{Frames, Series, SeriesSet, SeriesTask};
use crate::counted::counted;
use crate::dataset::split::{Strata, check_shares};
use crate::error::fault;

impl SeriesSet {
    /// Divides the recordings into `N` parts whose sizes are about `fractions` of the whole.
    ///
    /// - Pieces of one recording land in one part, and so do recordings with the same values.
    /// - Each class is divided by itself, so that each part has about the class shares of the whole.
    /// - The same recordings, seed and fractions give the same parts. Each part comes shuffled.
    /// - A single recording whose steps have labels, or that is to be forecast, is divided in time instead: see [`SeriesSet::split_in_time`].
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if a fraction is negative or not finite, if they do not add up to 1, or if there are too few recordings or
    /// steps to give each part with a fraction above 0 one.
    pub fn split<const N: usize>(&self, seed: u64, fractions: [f64; N]) -> Result<[Self; N]> {
        check_shares(&fractions)?;
        if self.series.len() == 1 && (self.task.each_step() || self.task == SeriesTask::Forecast) {
            return self.split_in_time(fractions);
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let part_of = self.strata().assign(&fractions, &mut rng);
        let parts = fractions.map(|_| Vec::new());
        let parts = self.distribute(&part_of, parts);
        if let Some(empty) = (0..N).find(|&part| fractions[part] > 0.0 && parts[part].is_empty()) {
            let share = (1e4 * fractions[empty]).round() / 100.0;
            return Err(self.too_few(&format!("to hold out {share} % of them")));
        }
        Ok(parts.map(|part| self.shuffled(part, &mut rng)))
    }

    /// Divides the recordings into `count` parts of about one size, as [`SeriesSet::split`] does, and gives all but one part (`number`, from 1), and
    /// that part.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if there are too few recordings to give each part one.
    pub fn fold(&self, seed: u64, number: usize, count: usize) -> Result<[Self; 2]> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let part_of = self.strata().assign(&vec![1.0 / count as f64; count], &mut rng);
        if let Some(empty) = (0..count).find(|part| !part_of.contains(part)) {
            return Err(self.too_few(&format!("for {count} parts: nothing is in part {}", empty + 1)));
        }
        let part_of: Vec<usize> = part_of.into_iter().map(|part| usize::from(part + 1 == number)).collect();
        let parts = self.distribute(&part_of, [Vec::new(), Vec::new()]);
        Ok(parts.map(|part| self.shuffled(part, &mut rng)))
    }

    /// Divides each recording in time: the first part has its beginning, the next one what follows. Each part but the first also has all that lies
    /// before it, as context ([`Series::first`]): the past is known when the future is asked for.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if the fractions are no shares of a whole, or if a recording has too few steps to give each part with a
    /// fraction above 0 one.
    pub fn split_in_time<const N: usize>(&self, fractions: [f64; N]) -> Result<[Self; N]> {
        check_shares(&fractions)?;
        let mut parts = fractions.map(|_| Vec::new());
        for series in &self.series {
            let steps = series.steps();
            let (mut share, mut from) = (0.0, 0);
            for (part, fraction) in parts.iter_mut().zip(fractions) {
                share += fraction;
                let to = if share > 1.0 - 1e-6 { steps } else { (share * steps as f64).round() as usize };
                if fraction > 0.0 && to <= from {
                    let problem = format!("{} are too few to be divided in time", counted(steps, "step"));
                    return Err(fault(&series.place, problem, "add steps, or hold out a larger part").into());
                }
                if fraction > 0.0 {
                    let mut piece = series.cut(0, to, self.outputs.len());
                    piece.first = piece.first.max(from);
                    part.push(piece);
                }
                from = to;
            }
        }
        Ok(parts.map(|part| self.with(part)))
    }

    /// This set with the past of its recordings in front of them, as context: of the recording of the same id in `earlier`, the last `reach` steps.
    /// For a held-out part that comes as a file of its own. Recordings that have no such past stay as they are.
    #[must_use]
    pub fn following(&self, earlier: &Self, reach: usize) -> Self {
        if self.channels.len() != earlier.channels.len() {
            return self.clone();
        }
        let past: HashMap<&str, &Series> = earlier.series.iter().map(|series| (series.id.as_str(), series)).collect();
        let joined = self.series.iter().map(|series| {
            let Some(past) = past.get(series.id.as_str()) else { return series.clone() };
            let from = past.steps().saturating_sub(reach);
            let past = past.cut(from, past.steps(), self.outputs.len());
            let steps = past.steps();
            let Some(target) = past.target.joined(&series.target) else { return series.clone() };
            let values = [&past.frames[..], &series.frames[..]].concat();
            Series {
                start: past.start,
                frames: Frames::new(values, self.channels.len()),
                first: steps + series.first,
                target,
                ..series.clone()
            }
        });
        self.with(joined.collect())
    }

    /// What is to be divided: pieces of one recording together, and recordings with the same values.
    fn strata(&self) -> Strata {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let (mut by_id, mut by_values) = (HashMap::new(), HashMap::new());
        for (index, series) in self.series.iter().enumerate() {
            let mut digest = Sha256::new();
            series.frames.iter().for_each(|value| digest.update(value.to_le_bytes()));
            let values = digest.finalize();
            let known = by_id.get(&series.id).or_else(|| by_values.get(&values)).copied();
            let group = known.unwrap_or(groups.len());
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push(index);
            by_id.insert(&series.id, group);
            by_values.entry(values).or_insert(group);
        }
        Strata { groups, classes: self.series.iter().map(|series| series.target.stratum()).collect() }
    }

    /// The recordings by their parts.
    fn distribute<const N: usize>(&self, part_of: &[usize], mut parts: [Vec<Series>; N]) -> [Vec<Series>; N] {
        for (series, &part) in self.series.iter().zip(part_of) {
            parts[part].push(series.clone());
        }
        parts
    }

    fn shuffled(&self, mut series: Vec<Series>, rng: &mut ChaCha8Rng) -> Self {
        series.shuffle(rng);
        self.with(series)
    }

    fn too_few(&self, for_what: &str) -> anyhow::Error {
        let groups = self.strata().groups.len();
        let problem = if groups < self.series.len() {
            format!(
                "of {} only {groups} are different, too few {for_what} (equal recordings stay together)",
                counted(self.series.len(), "series")
            )
        } else {
            format!("{} are too few {for_what}", counted(groups, "series"))
        };
        fault(&self.name, problem, "add recordings, or hold out a larger part").into()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{class_of_each, numbered, set_of};
    use super::*;
    use crate::error::exit_code;
    use crate::series::Target;

    #[test]
    fn parts_have_the_sizes_and_class_shares_that_were_asked_for_and_a_seed_decides() {
        let set = numbered(300);
        let [train, valid] = set.split(1, [0.8, 0.2]).unwrap();
        assert_eq!((train.class_counts(), valid.class_counts()), (vec![160, 80], vec![40, 20]));
        assert_eq!(set.split(1, [0.8, 0.2]).unwrap()[1].sha256, valid.sha256);
        assert_ne!(set.split(2, [0.8, 0.2]).unwrap()[1].sha256, valid.sha256);
        assert_eq!((train.classes, train.channels), (set.classes, set.channels));
    }

    #[test]
    fn windows_of_a_recording_and_equal_recordings_are_never_in_two_parts() {
        let mut set = numbered(40).windows(2, 1).unwrap();
        let copy = Series { id: "copy".into(), ..set.series[0].clone() };
        set.series.push(copy);
        for seed in 0..10 {
            let [a, b] = set.split(seed, [0.7, 0.3]).unwrap();
            let ids = |set: &SeriesSet| {
                set.series.iter().map(|series| series.id.clone()).collect::<std::collections::HashSet<_>>()
            };
            assert!(ids(&a).is_disjoint(&ids(&b)));
            let first = set.series[0].id.clone();
            assert_eq!(ids(&a).contains("copy"), ids(&a).contains(&first));
        }
    }

    #[test]
    fn folds_hold_out_every_recording_once() {
        let set = numbered(30);
        let mut held: Vec<String> = (1..=5)
            .flat_map(|number| {
                let [rest, part] = set.fold(7, number, 5).unwrap();
                assert_eq!((rest.series.len(), part.series.len()), (24, 6));
                part.series.into_iter().map(|series| series.id).collect::<Vec<_>>()
            })
            .collect();
        held.sort_by_key(|id| id.parse::<usize>().unwrap());
        assert_eq!(held, (1..=30).map(|id| id.to_string()).collect::<Vec<_>>());
        assert!(numbered(3).fold(0, 1, 4).unwrap_err().to_string().contains("3 series are too few for 4 parts"));
    }

    #[test]
    fn one_long_recording_is_divided_in_time_and_the_held_out_part_knows_its_past() {
        let values: Vec<f32> = (0..20).map(|step| step as f32).collect();
        let set = set_of(SeriesTask::Forecast, 2, vec![(values.clone(), Target::None)]);
        let [train, test] = set.split(0, [0.7, 0.3]).unwrap();
        assert_eq!((&train.series[0].frames[..], train.series[0].first), (&values[..14], 0));
        assert_eq!((&test.series[0].frames[..], test.series[0].first), (&values[..], 7));
        // The same from two files.
        let file = set_of(SeriesTask::Forecast, 2, vec![(values[14..].to_vec(), Target::None)]);
        assert_eq!(file.following(&train, usize::MAX).series[0].frames, test.series[0].frames);
        let near = file.following(&train, 2);
        assert_eq!((&near.series[0].frames[..], near.series[0].first, near.series[0].start), (&values[10..], 2, 5));
        let short = set_of(SeriesTask::Forecast, 2, vec![(values[..2].to_vec(), Target::None)]);
        let error = short.split_in_time([0.7, 0.3]).unwrap_err();
        assert!(error.to_string().contains("1 step are too few") || error.to_string().contains("too few"), "{error}");
    }

    #[test]
    fn labels_of_steps_are_divided_in_time_with_their_steps() {
        let set = set_of(
            SeriesTask::Tag,
            1,
            vec![((0..4).map(|step| step as f32).collect(), Target::Classes(vec![0, 1, 0, 1]))],
        );
        let [train, test] = set.split(0, [0.5, 0.5]).unwrap();
        assert_eq!(train.series[0].target, Target::Classes(vec![0, 1]));
        assert_eq!((test.series[0].target.clone(), test.series[0].first), (Target::Classes(vec![0, 1, 0, 1]), 2));
    }

    #[test]
    fn too_few_recordings_and_shares_that_are_none_are_faults() {
        for error in [numbered(1).split(0, [0.5, 0.5]).unwrap_err(), numbered(4).split(0, [0.5, 0.6]).unwrap_err()] {
            assert_eq!(exit_code(&error), 2, "{error}");
        }
        assert_eq!(class_of_each(&numbered(4)), [1, 0, 0, 1]);
    }
}
