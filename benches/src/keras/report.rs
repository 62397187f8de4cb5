//! What the runs have measured, merged: median speeds with their range, the ratio, and both loss curves.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::peers::clock::median;
use crate::peers::table::{Table, number};

/// Steps whose mean loss is a point of the curve. The first lot, in which memory is taken and Keras compiles, is not timed.
pub const LOT: usize = 8;

/// What a point of the two loss curves, a mean over some steps in nats, may differ by. Both sides compute in f32 with their sums in other
/// orders, and what training makes of such a difference grows from step to step.
pub const TOLERANCE: f64 = 1e-3;

/// What the wanted ratio is measured with, and the ratio.
pub const WANTED: (usize, f64) = (2, 5.0);

/// One training of one engine, a line of JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// `latch`, or `keras` with what is particular.
    pub engine: String,
    /// Whether the optimizer follows our rule, so that the losses must be ours.
    pub same_rule: bool,
    /// Texts of a batch.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Tokens a second.
    pub speed: f64,
    /// Tokens a second of the processor's time, all threads together, which other work on the machine disturbs less.
    pub work: f64,
    /// The mean loss of every [`LOT`] steps, in nats.
    pub losses: Vec<f64>,
}

/// A row of the table of speeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// See [`Run`].
    pub engine: String,
    /// Texts of a batch.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// The median of the rounds, in tokens a second.
    pub speed: f64,
    /// The slowest and the fastest round.
    pub range: (f64, f64),
    /// How many rounds.
    pub rounds: usize,
    /// The median of [`Run::work`].
    pub work: f64,
    /// Our median speed over this one.
    pub ratio: f64,
    /// Our median of [`Run::work`] over this one.
    pub work_ratio: f64,
}

/// Threads, batch, whether it is not ours, and the engine: the order of the rows.
type Setting<'a> = (usize, usize, bool, &'a str);

/// [`Run::speed`] and [`Run::work`] of each round.
type Speeds = (Vec<f64>, Vec<f64>);

/// Merges the runs. A row of ours comes before those it is compared with.
///
/// # Errors
/// If some setting has no run of ours.
pub fn rows(runs: &[Run]) -> Result<Vec<Row>> {
    let mut speeds: BTreeMap<Setting<'_>, Speeds> = BTreeMap::new();
    for run in runs {
        let key = (run.threads, run.batch, run.engine != "latch", run.engine.as_str());
        let entry = speeds.entry(key).or_default();
        entry.0.push(run.speed);
        entry.1.push(run.work);
    }
    let medians: BTreeMap<_, (f64, f64)> = speeds
        .iter()
        .map(|(&key, (speeds, work))| (key, (median(&mut speeds.clone()), median(&mut work.clone()))))
        .collect();
    let row = |(&key, (speeds, _)): (&Setting<'_>, &Speeds)| {
        let (threads, batch, _, engine) = key;
        let ours = medians.get(&(threads, batch, false, "latch"));
        let ours = ours.with_context(|| format!("batch {batch} with {threads} threads has no run of ours"))?;
        let range = (speeds.iter().copied().fold(f64::INFINITY, f64::min), speeds.iter().copied().fold(0.0, f64::max));
        let (speed, work) = medians[&key];
        let (ratio, work_ratio) = (ours.0 / speed, ours.1 / work);
        let (rounds, engine) = (speeds.len(), engine.to_owned());
        Ok(Row { engine, batch, threads, speed, range, rounds, work, ratio, work_ratio })
    };
    speeds.iter().map(row).collect()
}

/// The largest difference between our loss curve and one that must be ours, over all settings.
///
/// # Errors
/// If some curve differs by more than [`TOLERANCE`] or has another length, and says where; or if there is nothing to compare.
pub fn agreement(runs: &[Run]) -> Result<f64> {
    let mut largest = None;
    for theirs in runs.iter().filter(|run| run.engine != "latch" && run.same_rule) {
        let same = |run: &&Run| run.engine == "latch" && (run.batch, run.threads) == (theirs.batch, theirs.threads);
        for ours in runs.iter().filter(same) {
            ensure!(ours.losses.len() == theirs.losses.len(), "the loss curves have different lengths");
            for (lot, (a, b)) in ours.losses.iter().zip(&theirs.losses).enumerate() {
                let difference = (a - b).abs();
                ensure!(
                    difference <= TOLERANCE,
                    "the loss curves part at steps {} to {} of batch {}: {a:.5} in Latch, {b:.5} in {}, tolerance {TOLERANCE}",
                    lot * LOT + 1,
                    (lot + 1) * LOT,
                    ours.batch,
                    theirs.engine,
                );
                largest = largest.max(Some(difference).filter(|d| d.is_finite()).map(f64::to_bits));
            }
        }
    }
    ensure!(largest.is_some(), "no run of Keras follows our rule: there are no curves to compare");
    Ok(largest.map_or(0.0, f64::from_bits))
}

/// The tables of speeds and of curves.
///
/// # Errors
/// Those of [`rows`].
pub fn tables(runs: &[Run]) -> Result<Vec<Table>> {
    let heading =
        ["threads", "batch", "engine", "tokens/s", "Latch is faster by", "tokens/CPU-second", "Latch's is more by"];
    let mut speeds = vec![heading.map(str::to_owned).to_vec()];
    for row in rows(runs)? {
        let speed = format!("{} ({}–{}; {})", number(row.speed), number(row.range.0), number(row.range.1), row.rounds);
        let ratios = [row.ratio, row.work_ratio]
            .map(|ratio| if row.engine == "latch" { String::new() } else { format!("{ratio:.2}") });
        let [ratio, work_ratio] = ratios;
        let (threads, batch, work) = (row.threads.to_string(), row.batch.to_string(), number(row.work));
        speeds.push(vec![threads, batch, row.engine, speed, ratio, work, work_ratio]);
    }
    let speeds = Table {
        title: "Tokens a second".to_owned(),
        note: "Median over the rounds (slowest–fastest; rounds). A CPU-second is one of the processor's time, all threads together: on a machine \
               with other work it is the steadier measure."
            .to_owned(),
        rows: speeds,
    };
    let mut curves: BTreeMap<(usize, bool, &str), &[f64]> = BTreeMap::new();
    for run in runs {
        curves.entry((run.batch, run.engine != "latch", &run.engine)).or_insert(&run.losses);
    }
    let longest = curves.values().map(|losses| losses.len()).max().unwrap_or(0);
    let mut rows = vec![vec!["steps".to_owned()]];
    rows[0].extend(curves.keys().map(|(batch, _, engine)| format!("{engine}, batch {batch}")));
    for lot in 0..longest {
        let mut row = vec![format!("{}–{}", lot * LOT + 1, (lot + 1) * LOT)];
        row.extend(curves.values().map(|losses| losses.get(lot).map_or(String::new(), |loss| format!("{loss:.5}"))));
        rows.push(row);
    }
    let curves = Table {
        title: "Loss curves".to_owned(),
        note: "Mean binary cross-entropy of the steps, in nats, each before its step is taken.".to_owned(),
        rows,
    };
    Ok(vec![speeds, curves])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(engine: &str, speed: f64, losses: &[f64]) -> Run {
        let same_rule = engine != "keras stock";
        Run { engine: engine.to_owned(), same_rule, batch: 32, threads: 2, speed, work: speed, losses: losses.to_vec() }
    }

    #[test]
    fn a_ratio_is_that_of_the_medians() {
        let runs =
            [("latch", 50.0), ("keras", 10.0), ("latch", 70.0), ("keras", 12.0), ("latch", 60.0), ("keras", 80.0)]
                .map(|(engine, speed)| run(engine, speed, &[0.5]));
        let rows = rows(&runs).expect("both engines are there");
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].engine.as_str(), rows[0].speed, rows[0].range), ("latch", 60.0, (50.0, 70.0)));
        assert_eq!((rows[1].speed, rows[1].ratio, rows[1].rounds), (12.0, 5.0, 3));
    }

    #[test]
    fn curves_that_part_are_an_error_that_says_where() {
        let ours = run("latch", 1.0, &[0.7, 0.6]);
        let near = run("keras", 1.0, &[0.7, 0.6 + 0.5 * TOLERANCE]);
        let found = agreement(&[ours.clone(), near]).expect("they agree");
        assert!((found - 0.5 * TOLERANCE).abs() < 1e-12);
        let error = agreement(&[ours.clone(), run("keras", 1.0, &[0.7, 0.61])]).unwrap_err().to_string();
        assert!(error.contains("steps 9 to 16 of batch 32"), "{error}");
        for alone in [vec![ours.clone()], vec![ours.clone(), run("keras stock", 1.0, &[0.7, 0.9])]] {
            assert!(agreement(&alone).is_err());
        }
        assert!(agreement(&[ours, run("keras", 1.0, &[0.7, f64::NAN])]).is_err());
    }
}
