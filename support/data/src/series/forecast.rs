//! Forecasting: targets that are the series' own future, and the forecast that repeats the last season.

use anyhow::Result;

use super::{Series, SeriesSet, SeriesTask, Target};
use crate::counted::counted;
use crate::dataset::{list, quoted};
use crate::error::fault;
use crate::frames::Frames;

/// What is to be forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecasting {
    /// How many steps ahead: `--horizon`, from 1.
    pub horizon: usize,
    /// The steps that are read for one answer; `None` for an answer at each step, with all that was read so far.
    pub window: Option<usize>,
    /// How many steps lie between two windows, from 1.
    pub stride: usize,
    /// The channels whose future is asked for, by their places; empty for all.
    pub channels: Vec<usize>,
}

impl Forecasting {
    /// All channels, one step ahead of every step.
    #[must_use]
    pub fn ahead(horizon: usize) -> Self {
        Self { horizon, window: None, stride: 1, channels: Vec::new() }
    }

    /// With an answer for each window of so many steps.
    #[must_use]
    pub fn windowed(self, window: usize, stride: usize) -> Self {
        Self { window: Some(window), stride, ..self }
    }

    /// The pieces of a recording of so many steps, of which the first `known` ask nothing: from, to, and the first step that counts. The target of step `t` is
    /// step `t + horizon`, and counts where it is not known.
    fn pieces(&self, steps: usize, known: usize) -> Vec<[usize; 3]> {
        let Self { horizon, window, stride, .. } = *self;
        let first = known.saturating_sub(horizon);
        match window {
            None if steps > horizon => vec![[0, steps - horizon, first]],
            None => Vec::new(),
            Some(window) => {
                // The last step of the first window whose target counts.
                let last = (window - 1).max(first);
                (last..steps.saturating_sub(horizon))
                    .step_by(stride)
                    .map(|last| [last + 1 - window, last + 1, 0])
                    .collect()
            }
        }
    }

    fn check(&self, set: &SeriesSet) -> Result<()> {
        for (option, value) in
            [("--horizon", self.horizon), ("--window", self.window.unwrap_or(1)), ("--stride", self.stride)]
        {
            if value == 0 {
                return Err(fault(option, "it is 0 steps", "give a number of steps from 1").into());
            }
            if value > MOST_STEPS {
                let problem = format!("it is {value} steps");
                return Err(fault(option, problem, format!("give a number of steps up to {MOST_STEPS}")).into());
            }
        }
        if let Some(channel) = self.channels.iter().find(|&&channel| channel >= set.channels.len()) {
            let problem = format!("there is no channel {}; the channels are {}", channel + 1, list(&set.channels));
            return Err(fault(&set.name, problem, "name one of these").into());
        }
        Ok(())
    }

    fn chosen(&self, set: &SeriesSet) -> Vec<usize> {
        if self.channels.is_empty() { (0..set.channels.len()).collect() } else { self.channels.clone() }
    }
}

impl SeriesSet {
    /// The place of the channel with this name or, where channels of no table are meant, number from 1: a number names a column of a table.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) that lists the channels.
    pub fn channel(&self, name: &str) -> Result<usize> {
        let by_name = self.channels.iter().position(|channel| channel.eq_ignore_ascii_case(name.trim()));
        let is_table = self.layout.starts_with("a row a time step");
        let count = if is_table { 0 } else { self.channels.len() };
        let by_number = || name.trim().parse().ok().filter(|number| (1..=count).contains(number));
        by_name.or_else(|| by_number().map(|number| number - 1)).ok_or_else(|| {
            let problem = format!("there is no channel {}; the channels are {}", quoted(name), list(&self.channels));
            let remedy = if is_table { "name one of these" } else { "name one of these, or its number from 1" };
            fault(&self.name, problem, remedy).into()
        })
    }

    /// The recordings with their own future as the target: the values of the target channels `horizon` steps later, [`Target::EachValues`] without a window and
    /// [`Target::Values`] with one.
    ///
    /// No target lies behind the end of a recording, and none counts that lies in its context ([`Series::first`]): of a series that was divided in time, the
    /// training part asks for nothing in the held-out time, and the held-out part for nothing in the training time, although it reads it.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if the horizon, the window or the stride is 0, if there is no such channel, or if no recording is long enough.
    pub fn forecast(&self, what: &Forecasting) -> Result<Self> {
        what.check(self)?;
        let chosen = what.chosen(self);
        let (mut series, mut short) = (Vec::new(), 0);
        for recording in &self.series {
            let pieces = what.pieces(recording.steps(), recording.first);
            short += usize::from(pieces.is_empty());
            for [from, to, first] in pieces {
                let target = future(recording, what, &chosen, from, to);
                series.push(Series { first, target, ..recording.cut(from, to, 0) });
            }
        }
        if series.is_empty() {
            let (_, longest) = self.lengths();
            let needed = what.window.unwrap_or(1) + what.horizon;
            let problem = format!(
                "the longest series has {}, and {needed} are needed for a window and its horizon",
                counted(longest, "step")
            );
            return Err(fault(&self.name, problem, "take a smaller --window or --horizon, or add steps").into());
        }
        let outputs = chosen.iter().map(|&channel| self.channels[channel].clone()).collect();
        let mut set = Self { outputs, task: SeriesTask::Forecast, ..self.with(series) };
        if short > 0 {
            set.notes.push(format!(
                "{} of {} are too short to be forecast and are left out",
                short,
                counted(self.series.len(), "series")
            ));
        }
        Ok(set)
    }

    /// The forecast that repeats the last season, for each series of [`SeriesSet::forecast`] with the same `what`, in the shape of its target: the value of the same
    /// phase in the last season that is known when the answer is due. NaN where the series does not reach back so far.
    ///
    /// # Errors
    /// As [`SeriesSet::forecast`]; a [`Fault`](crate::error::Fault) if the season is 0 steps.
    pub fn seasonal_naive(&self, what: &Forecasting, season: usize) -> Result<Vec<Vec<f32>>> {
        what.check(self)?;
        if season == 0 {
            return Err(fault("--season", "it is 0 steps", "give a number of steps from 1").into());
        }
        let (chosen, channels) = (what.chosen(self), self.channels.len());
        // As many seasons back as lead from the target to a step that is known.
        let back = season * what.horizon.div_ceil(season);
        let mut answers = Vec::new();
        for recording in &self.series {
            for [from, to, _] in what.pieces(recording.steps(), recording.first) {
                let steps = if what.window.is_some() { to - 1..to } else { from..to };
                let value = |step: usize, channel: usize| {
                    let known = (step + what.horizon).checked_sub(back);
                    known.map_or(f32::NAN, |known| recording.frames[known * channels + channel])
                };
                answers.push(
                    steps
                        .flat_map(|step| chosen.iter().map(move |&channel| (step, channel)))
                        .map(|(step, channel)| value(step, channel))
                        .collect(),
                );
            }
        }
        Ok(answers)
    }

    /// The season of a channel in steps, guessed from the autocorrelation of its changes from step to step in the longest recording: the shortest lag at which it has a peak of
    /// at least [`SEASONAL`] and nine tenths of the highest. `None` where there is no such peak within a third of the recording.
    #[must_use]
    pub fn season(&self, channel: usize) -> Option<usize> {
        season_of(self.series.iter().map(|series| &series.frames), channel)
    }
}

/// As [`SeriesSet::season`], of recordings.
fn season_of<'f>(recordings: impl Iterator<Item = &'f Frames>, channel: usize) -> Option<usize> {
    let longest = recordings.max_by_key(|frames| frames.steps())?;
    let values: Vec<f64> =
        longest.iter().skip(channel).step_by(longest.channels()).map(|&value| f64::from(value)).collect();
    let changes: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Beyond a few thousand steps a longer recording says the same, and takes long.
    let changes = &changes[..changes.len().min(LOOKED_AT)];
    let mean = changes.iter().sum::<f64>() / changes.len().max(1) as f64;
    let square: f64 = changes.iter().map(|change| (change - mean).powi(2)).sum();
    if square <= 0.0 {
        return None;
    }
    let correlation = |lag: usize| {
        let products = changes.iter().zip(&changes[lag..]).map(|(a, b)| (a - mean) * (b - mean));
        products.sum::<f64>() / square * changes.len() as f64 / (changes.len() - lag) as f64
    };
    let correlations: Vec<f64> =
        (0..=changes.len() / 3 + 1).take_while(|&lag| lag < changes.len()).map(correlation).collect();
    let is_peak =
        |&lag: &usize| correlations[lag] > correlations[lag - 1] && correlations[lag] >= correlations[lag + 1];
    let peaks: Vec<usize> = (2..correlations.len().saturating_sub(1)).filter(is_peak).collect();
    let highest = peaks.iter().map(|&lag| correlations[lag]).fold(SEASONAL, f64::max);
    peaks.into_iter().find(|&lag| correlations[lag] >= SEASONAL && correlations[lag] >= 0.9 * highest)
}

/// The largest horizon, window and stride.
const MOST_STEPS: usize = 1 << 30;

/// The least autocorrelation that makes a season.
pub const SEASONAL: f64 = 0.3;

/// The steps from which a season is guessed.
const LOOKED_AT: usize = 4_000;

/// The values of the chosen channels `horizon` steps behind those of a piece, or behind its last step where it is a window.
fn future(recording: &Series, what: &Forecasting, chosen: &[usize], from: usize, to: usize) -> Target {
    let channels = recording.frames.channels();
    let at =
        |step: usize| chosen.iter().map(move |channel| recording.frames[(step + what.horizon) * channels + channel]);
    match what.window {
        Some(_) => Target::Values(at(to - 1).collect()),
        None => Target::EachValues((from..to).flat_map(at).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::set_of;
    use super::*;

    fn ramp(steps: usize) -> SeriesSet {
        set_of(SeriesTask::Forecast, 1, vec![((0..steps).map(|step| step as f32).collect(), Target::None)])
    }

    #[test]
    fn the_target_of_a_step_is_the_value_a_horizon_later() {
        let set = ramp(6).forecast(&Forecasting::ahead(2)).unwrap();
        assert_eq!(
            (&set.series[0].frames[..], &set.series[0].target),
            (&[0.0, 1.0, 2.0, 3.0][..], &Target::EachValues(vec![2.0, 3.0, 4.0, 5.0]))
        );
        assert_eq!((set.outputs.join(" "), set.series[0].first), ("1".into(), 0));
        let set = ramp(6).forecast(&Forecasting::ahead(1).windowed(3, 2)).unwrap();
        let pieces: Vec<_> = set.series.iter().map(|piece| (piece.frames.to_vec(), piece.target.clone())).collect();
        assert_eq!(
            pieces,
            [(vec![0.0, 1.0, 2.0], Target::Values(vec![3.0])), (vec![2.0, 3.0, 4.0], Target::Values(vec![5.0]))]
        );
    }

    #[test]
    fn only_the_chosen_channels_are_asked_for_and_all_are_read() {
        let values = (0..8).map(|at| at as f32).collect();
        let set = set_of(SeriesTask::Forecast, 2, vec![(values, Target::None)]);
        let what = Forecasting { channels: vec![set.channel("2").unwrap()], ..Forecasting::ahead(1) };
        let forecast = set.forecast(&what).unwrap();
        assert_eq!(
            (forecast.series[0].frames.len(), &forecast.series[0].target),
            (6, &Target::EachValues(vec![3.0, 5.0, 7.0]))
        );
        assert!(set.channel("x").unwrap_err().to_string().contains("the channels are 1, 2"));
        assert!(set.forecast(&Forecasting { channels: vec![2], ..what }).is_err());
    }

    #[test]
    fn no_target_of_the_training_part_lies_in_the_held_out_time_and_each_held_out_step_is_asked_for_once() {
        for horizon in 1..4 {
            for window in [None, Some(1), Some(3), Some(5)] {
                let what = Forecasting { window, ..Forecasting::ahead(horizon) };
                let [train, test] = ramp(30).split(0, [0.6, 0.4]).unwrap();
                // The steps that are asked for: a ramp's value is its step.
                let asked = |set: &SeriesSet| {
                    let forecast = set.forecast(&what).unwrap();
                    let of = |series: &Series| match &series.target {
                        Target::Values(values) => values.clone(),
                        Target::EachValues(values) => values[series.first..].to_vec(),
                        other => panic!("{other:?}"),
                    };
                    forecast.series.iter().flat_map(of).collect::<Vec<f32>>()
                };
                assert!(asked(&train).iter().all(|&step| step < 18.0));
                assert_eq!(asked(&test), (18..30).map(|step| step as f32).collect::<Vec<_>>(), "{horizon} {window:?}");
            }
        }
    }

    #[test]
    fn the_seasonal_naive_repeats_the_last_season_that_is_known() {
        let [_, test] = ramp(20).split(0, [0.5, 0.5]).unwrap();
        for (horizon, season, back) in [(1, 4, 4), (4, 4, 4), (5, 4, 8), (2, 1, 2)] {
            for window in [None, Some(2)] {
                let what = Forecasting { window, ..Forecasting::ahead(horizon) };
                let forecast = test.forecast(&what).unwrap();
                let naive = test.seasonal_naive(&what, season).unwrap();
                assert_eq!(naive.len(), forecast.series.len());
                for (series, naive) in forecast.series.iter().zip(&naive) {
                    let (Target::Values(truth) | Target::EachValues(truth)) = &series.target else { panic!() };
                    assert_eq!(truth.len(), naive.len());
                    for (truth, naive) in truth.iter().zip(naive).skip(series.first) {
                        assert_eq!(truth - naive, back as f32, "{horizon} {season} {window:?}");
                    }
                }
            }
        }
        let what = Forecasting::ahead(1);
        assert!(ramp(4).seasonal_naive(&what, 3).unwrap()[0][0].is_nan());
        assert!(ramp(4).seasonal_naive(&what, 0).is_err());
    }

    #[test]
    fn a_season_is_guessed_where_there_is_one() {
        let season = |value: &dyn Fn(f64) -> f64| {
            let values = (0..144).map(|step| value(f64::from(step)) as f32).collect();
            set_of(SeriesTask::Forecast, 1, vec![(values, Target::None)]).season(0)
        };
        let sine = |step: f64| (std::f64::consts::TAU * step / 12.0).sin();
        assert_eq!(season(&|step| 100.0 + 2.0 * step + 30.0 * sine(step)), Some(12));
        assert_eq!(season(&|step| (0.01 * step).exp() * (10.0 + sine(step) + 0.5 * sine(2.0 * step))), Some(12));
        assert_eq!(season(&|step| 3.0 * step), None);
        assert_eq!(season(&|_| 3.0), None);
        assert_eq!(season(&|step| (step * step * 0.61803).fract()), None);
        let [train, _] = crate::series::generated::generate(crate::series::Published::Airline, 3).unwrap();
        assert_eq!(train.season(0), Some(12));
    }

    #[test]
    fn series_that_are_too_short_are_left_out_and_said_or_refused() {
        let mut set = ramp(5);
        set.series.extend(ramp(2).series);
        let forecast = set.forecast(&Forecasting::ahead(3)).unwrap();
        assert_eq!(
            (forecast.series.len(), forecast.notes.join("")),
            (1, "1 of 2 series are too short to be forecast and are left out".into())
        );
        let message = ramp(4).forecast(&Forecasting::ahead(1).windowed(4, 1)).unwrap_err().to_string();
        assert!(message.contains("the longest series has 4 steps, and 5 are needed"), "{message}");
        assert!(ramp(4).forecast(&Forecasting::ahead(0)).unwrap_err().to_string().starts_with("--horizon: "));
    }
}
