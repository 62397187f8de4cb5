//! How long a search still takes: an estimate from the epochs that are done and those that are left.

use std::time::Duration;

/// The epochs of a search, and how many of them are done.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// For each round how many trials, and to which epoch.
    rounds: Vec<(usize, u64)>,
    /// Epochs that were trained in this process.
    done: u64,
    /// Epochs that are left, those of the trial that is being trained included.
    left: u64,
}

impl Pace {
    /// The pace of a search in rounds of so many trials to such an epoch.
    pub fn new(rounds: &[(usize, u64)]) -> Self {
        let mut pace = Pace { rounds: rounds.to_vec(), done: 0, left: 0 };
        pace.left = (1..=rounds.len()).map(|round| pace.of_round(round)).sum();
        pace
    }

    /// Epochs of one trial in a round, from 1.
    fn of_trial(&self, round: usize) -> u64 {
        let until =
            |round: usize| round.checked_sub(1).and_then(|at| self.rounds.get(at)).map_or(0, |&(_, until)| until);
        until(round).saturating_sub(until(round - 1))
    }

    fn of_round(&self, round: usize) -> u64 {
        self.rounds.get(round - 1).map_or(0, |&(trials, _)| trials as u64 * self.of_trial(round))
    }

    /// A trial begins in a round (from 1), at `place` (from 1) among `of` trials.
    pub fn begins(&mut self, round: usize, place: usize, of: usize) {
        let this = (of + 1).saturating_sub(place) as u64 * self.of_trial(round);
        let later: u64 = (round + 1..=self.rounds.len()).map(|round| self.of_round(round)).sum();
        self.left = this + later;
    }

    /// A trial is done in a round, at a place as for [`Pace::begins`].
    pub fn ends(&mut self, round: usize, place: usize, of: usize) {
        self.begins(round, place + 1, of);
    }

    /// An epoch is done.
    pub fn epoch(&mut self) {
        self.done += 1;
        self.left = self.left.saturating_sub(1);
    }

    /// The time that is left after `elapsed`, at most to `limit` after the beginning; `None` before the first epoch is done.
    pub fn left(&self, elapsed: Duration, limit: Option<Duration>) -> Option<Duration> {
        if self.done == 0 {
            return None;
        }
        let left = elapsed.mul_f64(self.left as f64 / self.done as f64);
        Some(limit.map_or(left, |limit| left.min(limit.saturating_sub(elapsed))))
    }
}

/// A time in words, for people: seconds below two minutes, minutes below two hours.
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_the_epochs_that_are_done_took() {
        // 18 · 2 + 6 · 2 + 2 · 6 = 60 epochs.
        let mut pace = Pace::new(&[(18, 2), (6, 4), (2, 10)]);
        let second = Duration::from_secs(1);
        assert_eq!(pace.left(second, None), None);
        pace.begins(1, 1, 18);
        (0..2).for_each(|_| pace.epoch());
        pace.ends(1, 1, 18);
        assert_eq!(pace.left(2 * second, None), Some(58 * second));
        assert_eq!(pace.left(2 * second, Some(30 * second)), Some(28 * second));
        pace.begins(3, 2, 2);
        assert_eq!(pace.left(2 * second, None), Some(6 * second));
        pace.ends(3, 2, 2);
        assert_eq!(pace.left(2 * second, None), Some(Duration::ZERO));
    }

    #[test]
    fn times_have_a_unit_that_people_read() {
        let words = [5, 119, 600, 9_000].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(words, ["5 s", "119 s", "10 min", "2.5 h"]);
    }
}
