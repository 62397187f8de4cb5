//! Recordings cut into windows.

use anyhow::Result;

use super::{Series, SeriesSet};
use crate::error::fault;

impl SeriesSet {
    /// The recordings cut into windows of `length` steps, one every `stride` steps. Pieces keep the recording's id.
    ///
    /// - A recording that is shorter than a window is kept whole.
    /// - Where the recording has one target, all windows have it; steps behind the last whole window are left out.
    /// - Where each step has a target, the last window is shorter, so that no step is left out; and of windows that overlap, each counts only from where
    ///   the one before it ends ([`Series::first`]), so that no step counts twice. Windows in which nothing counts are left out.
    ///
    /// # Errors
    /// A [`Fault`](crate::error::Fault) if `length` or `stride` is 0.
    pub fn windows(&self, length: usize, stride: usize) -> Result<Self> {
        for (option, value) in [("--window", length), ("--stride", stride)] {
            if value == 0 {
                return Err(fault(option, "it is 0 steps", "give a number of steps from 1").into());
            }
        }
        let outputs = self.outputs.len();
        let mut windows = Vec::new();
        for series in &self.series {
            let (steps, each) = (series.steps(), series.target.each_step());
            let mut end_before = 0;
            for from in (0..steps).step_by(stride) {
                let to = (from + length).min(steps);
                if from > 0 && (to <= end_before || !each && to - from < length) {
                    break;
                }
                let mut window = series.cut(from, to, outputs);
                if each {
                    window.first = window.first.max(end_before.saturating_sub(from));
                }
                end_before = to;
                if window.first < window.steps() {
                    windows.push(window);
                }
            }
        }
        Ok(self.with(windows))
    }

    /// The pieces without the context that lies more than `reach` steps before the first step that counts.
    #[must_use]
    pub fn with_context_of(&self, reach: usize) -> Self {
        let trimmed = |series: &Series| {
            let from =
                if series.target.each_step() || series.first > 0 { series.first.saturating_sub(reach) } else { 0 };
            series.cut(from, series.steps(), self.outputs.len())
        };
        self.with(self.series.iter().map(trimmed).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::set_of;
    use crate::series::{SeriesTask, Target};

    fn ramp(steps: usize) -> Vec<f32> {
        (0..steps).map(|step| step as f32).collect()
    }

    fn cut(steps: usize, target: Target, length: usize, stride: usize) -> Vec<(usize, usize, usize)> {
        let task = if target.each_step() { SeriesTask::Tag } else { SeriesTask::Classify };
        let set = set_of(task, 1, vec![(ramp(steps), target)]).windows(length, stride).unwrap();
        set.series
            .iter()
            .map(|piece| {
                let values: Vec<f32> = (piece.start..piece.start + piece.steps()).map(|step| step as f32).collect();
                assert_eq!((&piece.frames[..], piece.id.as_str()), (&values[..], "1"));
                (piece.start, piece.steps(), piece.first)
            })
            .collect()
    }

    #[test]
    fn a_recording_is_cut_into_whole_windows_at_every_stride() {
        assert_eq!(cut(10, Target::Class(1), 4, 2), [(0, 4, 0), (2, 4, 0), (4, 4, 0), (6, 4, 0)]);
        assert_eq!(cut(9, Target::Class(1), 4, 4), [(0, 4, 0), (4, 4, 0)]);
        assert_eq!(cut(9, Target::Class(1), 2, 5), [(0, 2, 0), (5, 2, 0)]);
    }

    #[test]
    fn a_recording_that_is_shorter_than_the_window_is_kept_whole() {
        assert_eq!(cut(3, Target::Class(1), 4, 2), [(0, 3, 0)]);
        assert_eq!(cut(4, Target::Class(1), 4, 1), [(0, 4, 0)]);
        assert_eq!(cut(1, Target::Classes(vec![0]), 4, 1), [(0, 1, 0)]);
    }

    #[test]
    fn of_labelled_steps_each_counts_in_one_window() {
        for (steps, length, stride) in [(10, 4, 4), (10, 4, 2), (11, 4, 3), (12, 4, 1), (7, 7, 7), (5, 2, 2)] {
            let mut counted = vec![0; steps];
            for (start, length, first) in cut(steps, Target::Classes(vec![0; steps]), length, stride) {
                (start + first..start + length).for_each(|step| counted[step] += 1);
            }
            assert_eq!(counted, vec![1; steps], "{steps} {length} {stride}");
        }
        assert_eq!(cut(10, Target::Classes(vec![0; 10]), 4, 4), [(0, 4, 0), (4, 4, 0), (8, 2, 0)]);
    }

    #[test]
    fn windows_of_context_alone_are_left_out_and_context_is_cut_to_its_reach() {
        let set = set_of(SeriesTask::Tag, 1, vec![(ramp(8), Target::Classes((0..8).collect()))]);
        let [_, test] = set.split_in_time([0.75, 0.25]).unwrap();
        let windows = test.windows(4, 4).unwrap();
        assert_eq!((windows.series.len(), windows.series[0].start, windows.series[0].first), (1, 4, 2));
        assert_eq!(windows.series[0].target, Target::Classes(vec![4, 5, 6, 7]));
        let near = test.with_context_of(1);
        assert_eq!((near.series[0].start, near.series[0].first, near.series[0].steps()), (5, 1, 3));
    }

    #[test]
    fn windows_of_no_steps_are_refused() {
        let set = set_of(SeriesTask::Classify, 1, vec![(ramp(3), Target::Class(0))]);
        assert!(set.windows(0, 1).unwrap_err().to_string().starts_with("--window: "));
        assert!(set.windows(1, 0).unwrap_err().to_string().starts_with("--stride: "));
    }
}
