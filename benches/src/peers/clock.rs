//! Times a step: the median over batches of calls.

use std::time::{Duration, Instant};

/// A batch lasts about this long, so that reading the clock (some 30 ns) is nothing beside it.
const BATCH: Duration = Duration::from_micros(20);

/// What precedes the measurement: caches, branch predictors and the processor's clock settle.
const WARM_UP: Duration = Duration::from_millis(4);

/// What a measurement lasts at least.
const SHORTEST: Duration = Duration::from_millis(12);

/// Calls that are timed where they do not last [`LONGEST`].
const CALLS: u32 = 2000;

/// What a measurement lasts at most, where that leaves [`FEWEST_CALLS`].
const LONGEST: Duration = Duration::from_millis(120);

/// Calls that are timed at least, however slow.
const FEWEST_CALLS: u32 = 200;

/// Nanoseconds of a call. `step` gets the number of the call; an error ends the measurement.
///
/// # Errors
/// That of `step`.
pub fn nanoseconds<E>(mut step: impl FnMut(usize) -> Result<(), E>) -> Result<f64, E> {
    let mut number = 0;
    let mut run = |calls: u32| {
        let began = Instant::now();
        for _ in 0..calls {
            step(number)?;
            number += 1;
        }
        Ok(began.elapsed())
    };
    let (mut warm_calls, mut warm_time) = (0, Duration::ZERO);
    while warm_time < WARM_UP {
        warm_time += run(16)?;
        warm_calls += 16;
    }
    let call = (warm_time / warm_calls).max(Duration::from_nanos(1));
    let (batch, batches) = plan(call);
    let mut times = Vec::with_capacity(batches as usize);
    for _ in 0..batches {
        times.push(run(batch)?.as_nanos() as f64 / f64::from(batch));
    }
    Ok(median(&mut times))
}

/// Calls of a batch, and batches, for a call of that duration.
fn plan(call: Duration) -> (u32, u32) {
    let fit = |time: Duration| u32::try_from(time.as_nanos() / call.as_nanos().max(1)).unwrap_or(u32::MAX);
    let batch = fit(BATCH).max(1);
    let calls = CALLS.max(fit(SHORTEST)).min(fit(LONGEST)).max(FEWEST_CALLS);
    (batch, calls.div_ceil(batch))
}

/// The middle value, or the mean of the middle two; NaN of no values.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert!(median(&mut []).is_nan());
    }

    #[test]
    fn two_thousand_calls_are_timed_and_fewer_only_where_they_are_slow() {
        let calls = |nanoseconds| {
            let (batch, batches) = plan(Duration::from_nanos(nanoseconds));
            batch * batches
        };
        for fast in [1, 50, 1_000, 20_000, 60_000] {
            assert!(calls(fast) >= CALLS, "{fast} ns");
        }
        assert_eq!(calls(300_000), 400);
        assert_eq!(calls(10_000_000), FEWEST_CALLS);
        // The clock's cost is below a hundredth of a batch.
        assert!(plan(Duration::from_nanos(50)).0 * 50 > 100 * 30);
    }

    #[test]
    fn a_longer_wait_takes_longer() {
        let wait = |microseconds| {
            nanoseconds(|_| {
                let began = Instant::now();
                while began.elapsed() < Duration::from_micros(microseconds) {}
                Ok::<(), Infallible>(())
            })
        };
        let (Ok(short), Ok(long)) = (wait(2), wait(20));
        assert!(short >= 2_000.0 && long >= 20_000.0, "{short} and {long}");
    }

    #[test]
    fn an_error_of_the_step_ends_the_measurement() {
        assert_eq!(nanoseconds(|number| if number == 40 { Err("broken") } else { Ok(()) }), Err("broken"));
    }
}
