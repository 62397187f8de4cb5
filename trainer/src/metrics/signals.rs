//! How far a signal is from the one that it is to be.
//!
//! ```text
//! RMSE = √(Σ (y − ŷ)² / n)      ESR = Σ (y − ŷ)² / Σ y²      SNR = −10·log10(ESR) dB
//! ```
//!
//! The error-to-signal ratio is also given behind the pre-emphasis y(t) − 0.95·y(t − 1) of both signals, which weighs high frequencies more, as an ear does. Source: A. Wright,
//! E.-P. Damskägg, L. Juvela and V. Välimäki, "Real-Time Guitar Amplifier Emulation with Deep Learning", Applied Sciences 10 (3), 2020.

use serde::Serialize;

/// The part of the last sample that the pre-emphasis takes away.
pub const EMPHASIS: f64 = 0.95;

/// How far a signal is from its target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distance {
    /// Root of the mean square of the error, in the unit of the signals.
    pub rmse: f64,
    /// Error-to-signal ratio; `None` of a target that is silent.
    pub esr: Option<f64>,
    /// The same behind the pre-emphasis of both.
    pub esr_pre_emphasis: Option<f64>,
    /// Signal-to-noise ratio in decibels; `None` of a target that is silent, and where there is no error.
    pub snr_db: Option<f64>,
}

impl Distance {
    /// That of `found` from `target`, a value a step each; what one has more than the other does not count.
    pub fn of(found: &[f32], target: &[f32]) -> Self {
        let pairs = || found.iter().zip(target).map(|(&found, &target)| (f64::from(found), f64::from(target)));
        let error = squares(pairs().map(|(found, target)| target - found));
        let esr = ratio(error, squares(pairs().map(|(_, target)| target)));
        let emphasized = squares(emphasized(pairs().map(|(found, target)| target - found)));
        Distance {
            rmse: (error / pairs().count().max(1) as f64).sqrt(),
            esr,
            esr_pre_emphasis: ratio(emphasized, squares(self::emphasized(pairs().map(|(_, target)| target)))),
            snr_db: esr.filter(|esr| *esr > 0.0).map(|esr| -10.0 * esr.log10()),
        }
    }
}

fn squares(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum()
}

/// y(t) − 0.95·y(t − 1), with silence before the first sample.
fn emphasized(values: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    values.scan(0.0, |last, value| {
        let emphasized = value - EMPHASIS * *last;
        *last = value;
        Some(emphasized)
    })
}

fn ratio(error: f64, signal: f64) -> Option<f64> {
    (signal > 0.0).then(|| error / signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_measured_against_the_target_and_behind_the_pre_emphasis() {
        let (target, found) = ([0.0, 1.0, -1.0, 2.0], [0.0, 1.5, -1.0, 1.0]);
        let Distance { rmse, esr, esr_pre_emphasis, snr_db } = Distance::of(&found, &target);
        // Errors 0, -1/2, 0, 1; squares 1.25 of 6.
        assert!((rmse - (1.25_f64 / 4.0).sqrt()).abs() < 1e-12);
        assert!((esr.unwrap() - 1.25 / 6.0).abs() < 1e-12);
        assert!((snr_db.unwrap() - 10.0 * (6.0_f64 / 1.25).log10()).abs() < 1e-9);
        let error = 0.25 + 0.475 * 0.475 + 1.0;
        let signal = 1.0 + 1.95 * 1.95 + 2.95 * 2.95;
        assert!((esr_pre_emphasis.unwrap() - error / signal).abs() < 1e-12);
    }

    #[test]
    fn a_silent_target_has_no_ratio_and_an_equal_signal_no_noise() {
        let silent = Distance::of(&[0.5, 0.0], &[0.0, 0.0]);
        assert_eq!((silent.esr, silent.esr_pre_emphasis, silent.snr_db), (None, None, None));
        let equal = Distance::of(&[0.5, -0.5], &[0.5, -0.5]);
        assert_eq!((equal.rmse, equal.esr, equal.snr_db), (0.0, Some(0.0), None));
    }
}
