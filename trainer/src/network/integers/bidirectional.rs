//! Both directions forward in the engine's integers, for quantization-aware training.

use super::IntegerLayer;
use crate::config::chain::Merge;
use crate::network::conv1d::Between;
use crate::network::layer::Tape;
use crate::network::layer::bidirectional::{Bidirectional, Directions, reverse};
use crate::real::Real;

/// The integers of both directions.
#[derive(Debug, Clone)]
pub(crate) struct IntegerDirections<T> {
    /// From the first step to the last.
    pub(crate) forward: IntegerLayer<T>,
    /// From the last step to the first.
    pub(crate) backward: IntegerLayer<T>,
}

impl<T: Real> IntegerDirections<T> {
    /// Runs both directions over `input` (features × tokens, integers) and leaves what [`Bidirectional::forward`] leaves, y in Q0.15 as numbers.
    pub(crate) fn forward(
        &self,
        layer: &Bidirectional<T>,
        between: Between<'_>,
        features: usize,
        input: &[T],
        tape: &mut Tape<T>,
    ) {
        let directions = tape.directions.get_or_insert_with(Box::default);
        let Directions { forward, backward, reversed } = &mut **directions;
        reverse(reversed, input, features, between.below);
        self.forward.forward(&layer.forward, between, features, input, forward);
        self.backward.forward(&layer.backward, between, features, reversed, backward);
        let (forward, backward) = (layer.forward.output(forward), layer.backward.output(backward));
        layer.merge(forward, backward, between.below, &mut tape.output, |merge, f, b| {
            let [f, b] = [f, b].map(|value| (value * T::of(32_768.0)).to_integer());
            let y = match merge {
                Merge::Mean => (f + b + 1) >> 1,
                _ => ((f * b + (1 << 14)) >> 15).min(32_767),
            };
            T::of_integer(y) * T::of(2_f64.powi(-15))
        });
    }

    /// Turns gradients that were taken with integers as columns into those of the real columns.
    pub(crate) fn scale_gradients(&self, sums: &mut Bidirectional<T>) {
        self.forward.scale_gradients(&mut sums.forward);
        self.backward.scale_gradients(&mut sums.backward);
    }
}
