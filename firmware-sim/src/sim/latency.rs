//! How long tokens took on this host, and what reading the clock adds.

use std::time::Instant;

/// Percentiles of the time of a token in nanoseconds; all 0 where there was no token.
///
/// The percentile `p` is the smallest time that at least `p` percent of the tokens did not exceed (nearest rank). Each time has one
/// reading of the clock in it, which is not subtracted: [`Latency::clock`] says how much that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// Half of the tokens took at most this long.
    pub p50: u32,
    /// 99 of 100 tokens took at most this long.
    pub p99: u32,
    /// The longest.
    pub max: u32,
    /// Median time between two readings of the clock with nothing in between.
    pub clock: u32,
}

impl Latency {
    /// The percentiles of these times, in nanoseconds.
    pub fn of(mut times: Vec<u32>) -> Self {
        times.sort_unstable();
        Latency {
            p50: percentile(&times, 50),
            p99: percentile(&times, 99),
            max: percentile(&times, 100),
            clock: clock(),
        }
    }
}

/// The value at rank `⌈p·n/100⌉` of sorted values, counted from 1; 0 of none.
fn percentile(sorted: &[u32], p: usize) -> u32 {
    let rank = (sorted.len() * p).div_ceil(100);
    rank.checked_sub(1).and_then(|index| sorted.get(index)).copied().unwrap_or(0)
}

fn clock() -> u32 {
    let start = Instant::now();
    let mut last = start.elapsed().as_nanos();
    let mut gaps: Vec<u32> = (0..1001)
        .map(|_| {
            let now = start.elapsed().as_nanos();
            let gap = now - last;
            last = now;
            u32::try_from(gap).unwrap_or(u32::MAX)
        })
        .collect();
    gaps.sort_unstable();
    percentile(&gaps, 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_nearest_rank() {
        let times: Vec<u32> = (1..=200).collect();
        assert_eq!([50, 99, 100].map(|p| percentile(&times, p)), [100, 198, 200]);
        assert_eq!([50, 99, 100].map(|p| percentile(&[7], p)), [7, 7, 7]);
        assert_eq!(percentile(&[], 50), 0);
    }
}
