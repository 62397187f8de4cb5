//! The states in which a network begins, where that is not nothing: h0 and c0 of recurrent layers as another tool trained them, or what the network remembers behind a prefix.

use super::layer::Layer;
use super::pass::Pass;
use super::recurrent::Kernels;
use super::{Network, NetworkError};
use crate::real::Real;
use nalgebra::DMatrix;

/// The initial state of a recurrent layer: a number for each of its units.
#[derive(Debug, Clone, PartialEq)]
pub struct Initial<T> {
    /// The layer, counted from 0 above the embedding.
    pub layer: usize,
    /// Hidden state h0, `units`.
    pub hidden: Vec<T>,
    /// Cell state c0 of an LSTM, `units`; else empty.
    pub cell: Vec<T>,
}

/// The largest magnitude of an initial state: far from an infinity in any sum, as an image has it.
const MOST: f64 = 16_777_216.0;

impl<T: Real> Network<T> {
    /// Has each sequence begin in the initial states of some recurrent layers; all others begin with zeros.
    ///
    /// # Errors
    /// [`NetworkError::Initial`] where a state is that of no recurrent layer, has another number of units, or a number that is not finite or beyond 2^24.
    pub fn begin_in(&mut self, states: &[Initial<T>]) -> Result<(), NetworkError> {
        let mut start: Vec<Vec<T>> = self.layers.iter().map(Layer::cold).collect();
        for Initial { layer, hidden, cell } in states {
            let refuse = |problem| Err(NetworkError::Initial { layer: *layer, problem });
            let (units, cells) = match self.layers.get(*layer) {
                Some(Layer::Lstm(lstm)) => (lstm.units(), lstm.units()),
                Some(of @ (Layer::Gru(_) | Layer::Rnn(_))) => (of.cold().len(), 0),
                Some(Layer::Variant(variant)) => (variant.features(), variant.cells()),
                _ => return refuse("an initial state belongs to a recurrent layer, and this is none"),
            };
            if (hidden.len(), cell.len()) != (units, cells) {
                return refuse("an initial state has h0 of each unit, and of an LSTM c0 of each unit");
            }
            if !hidden.iter().chain(cell).all(|value| value.as_f64().abs() <= MOST) {
                return refuse("an initial state has a number that is not finite, or larger than 2^24");
            }
            start[*layer] = [&hidden[..], cell].concat();
        }
        self.start = start.iter().flatten().any(|value| *value != T::zero()).then_some(start);
        Ok(())
    }

    /// The initial states of the recurrent layers; none where all begin with zeros.
    pub fn initial(&self) -> Vec<Initial<T>> {
        let states = self.start.iter().flatten().zip(&self.layers).enumerate();
        let of = |(layer, (state, kind)): (usize, (&Vec<T>, &Layer<T>))| {
            let units = match kind {
                Layer::Lstm(lstm) => lstm.units(),
                Layer::Gru(_) | Layer::Rnn(_) => state.len(),
                Layer::Variant(variant) => variant.features(),
                Layer::Conv1d(_)
                | Layer::Bidirectional(_)
                | Layer::Dense(_)
                | Layer::Pooling(_)
                | Layer::LayerNorm(_)
                | Layer::MaxPool(_) => return None,
            };
            let (hidden, cell) = state.split_at(units);
            Some(Initial { layer, hidden: hidden.to_vec(), cell: cell.to_vec() })
        };
        states.filter_map(of).collect()
    }

    /// The same network whose sequences begin behind a prefix: in the states of its layers after these ids.
    ///
    /// # Errors
    /// [`NetworkError::TokenOutOfRange`].
    pub fn warmed(&self, prefix: &[u32]) -> Result<Self, NetworkError> {
        self.check_ids(prefix)?;
        let mut kernels = vec![Kernels::default(); self.layers.len()];
        self.layers.iter().zip(&mut kernels).for_each(|(layer, kernels)| layer.pack_forward(kernels));
        let (mut pass, led) = (Pass::new(self), self.led(prefix));
        pass.steps.gather(&[0], |_| &led);
        let start = self.start.as_deref();
        let states = |_: usize| start.unwrap_or_default();
        pass.go_on(self, start.is_some().then_some(&states));
        pass.forward(self, &kernels, None, None);
        let mut warmed = self.clone();
        warmed.start = pass.states(self).pop().map(|(_, states)| states);
        Ok(warmed)
    }

    /// The ids of a sequence as a pass takes them: behind an id that stands for the initial states, where there are some.
    pub(super) fn led(&self, ids: &[u32]) -> Vec<u32> {
        let front = self.start.as_ref().map(|_| 0);
        front.into_iter().chain(ids.iter().copied()).collect()
    }

    /// The initial states as they are stored behind the tensors: a column for each layer that remembers something.
    pub(super) fn stored_start(&self) -> Vec<DMatrix<T>> {
        let states = self.start.iter().flatten().filter(|state| !state.is_empty());
        states.map(|state| DMatrix::from_column_slice(state.len(), 1, state)).collect()
    }

    /// Takes up the columns of [`Network::stored_start`].
    ///
    /// # Errors
    /// [`NetworkError::ShapeMismatch`].
    pub(super) fn take_start(&mut self, columns: Vec<DMatrix<T>>) -> Result<(), NetworkError> {
        let mut columns = columns.into_iter();
        let mut start: Vec<Vec<T>> = self.layers.iter().map(Layer::cold).collect();
        for (layer, state) in start.iter_mut().enumerate().filter(|(_, state)| !state.is_empty()) {
            let (found, expected) = (columns.next().unwrap_or_default(), (state.len(), 1));
            if found.shape() != expected {
                let name = format!("initial state of layer {layer}");
                return Err(NetworkError::ShapeMismatch { name, found: found.shape(), expected });
            }
            state.copy_from_slice(found.as_slice());
        }
        self.start = Some(start);
        Ok(())
    }

    /// How many columns [`Network::stored_start`] has where there is a start.
    pub(super) fn stored_columns(&self) -> usize {
        self.layers.iter().filter(|layer| !layer.cold().is_empty()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::NetworkConfig;

    fn network(layers: &str) -> Network<f64> {
        let chain = format!("embedding 3 > {layers} > dense").parse().unwrap();
        Network::new(&NetworkConfig { vocabulary: 11, outputs: 2, chain }, 5).unwrap()
    }

    const IDS: [u32; 9] = [3, 1, 4, 1, 5, 9, 2, 6, 5];

    #[test]
    fn a_network_behind_a_prefix_answers_as_the_whole_sequence_does() {
        for layers in [
            "lstm 4 > last",
            "gru 4 > rnn 3 > last",
            "lstm 4",
            "conv1d 3 k3 > gru 4 reset_before > dense 5 tanh",
            "dense 4 tanh > conv1d 2 k2 > lstm 3 > last",
            "conv1d 3 k4 s2 > gru 4",
        ] {
            let cold = network(layers);
            let stride = cold.config().chain.rhythm().stride;
            let each = cold.config().answers_each_step();
            for prefix in (0..=6).step_by(stride) {
                let warm = cold.warmed(&IDS[..prefix]).unwrap();
                let (expected, found) = (cold.forward(&[&IDS]).unwrap(), warm.forward(&[&IDS[prefix..], &[]]).unwrap());
                let skipped = if each { prefix } else { 0 };
                assert_eq!(found.ncols(), if each { 9 - prefix } else { 2 });
                for column in 0..expected.ncols() - skipped {
                    let difference = found.column(column) - expected.column(skipped + column);
                    assert!(difference.abs().max() < 1e-12, "{layers} behind {prefix}");
                }
                // Twice is once.
                let twice = cold.warmed(&IDS[..prefix]).unwrap().warmed(&IDS[prefix..]).unwrap();
                let once = cold.warmed(&IDS).unwrap();
                let pairs = twice.start.unwrap().concat().into_iter().zip(once.start.unwrap().concat());
                assert!(stride > 1 || pairs.into_iter().all(|(a, b)| (a - b).abs() < 1e-12), "{layers}");
            }
        }
    }

    #[test]
    fn pooling_takes_in_the_steps_of_the_sequence_alone() {
        for pooling in ["mean", "max", "attention"] {
            let (pooled, each) = (network(&format!("lstm 4 > {pooling}")), network("lstm 4"));
            let tensors = |of: &Network<f64>| of.tensors().into_iter().map(|(_, tensor)| tensor.clone()).collect();
            let mut steps = Network::from_tensors(each.config().clone(), tensors(&pooled)).unwrap();
            // Two outputs that are the first two units.
            let mut head = steps.tensors_mut().into_iter().rev().map(|(_, tensor)| tensor);
            head.next().unwrap().fill(0.0);
            let kernel = head.next().unwrap();
            kernel.fill_with_identity();
            drop(head);
            let mut pooled = Network::from_tensors(pooled.config().clone(), tensors(&steps)).unwrap();
            let initial = Initial { layer: 0, hidden: vec![0.9, -0.9, 0.5, 0.1], cell: vec![3.0, -3.0, 1.0, 0.0] };
            pooled.begin_in(std::slice::from_ref(&initial)).unwrap();
            steps.begin_in(std::slice::from_ref(&initial)).unwrap();
            let found = pooled.forward(&[&IDS, &[]]).unwrap();
            let units = steps.forward(&[&IDS]).unwrap();
            let weight = |column: usize| if pooling == "attention" { (4.0 * units[(0, column)]).exp() } else { 1.0 };
            for unit in 0..2 {
                let row = || (0..9).map(|column| (units[(unit, column)], weight(column)));
                let expected = match pooling {
                    "max" => row().map(|(value, _)| value).fold(f64::NEG_INFINITY, f64::max),
                    _ => row().map(|(value, weight)| value * weight).sum::<f64>() / row().map(|(_, w)| w).sum::<f64>(),
                };
                assert!((found[(unit, 0)] - expected).abs() < 1e-9, "{pooling}");
                // Of no steps there is nothing.
                assert_eq!(found[(unit, 1)], 0.0, "{pooling}");
            }
        }
    }

    #[test]
    fn initial_states_are_kept_where_a_network_is_stored_or_converted() {
        let mut network = network("conv1d 3 k3 > lstm 4 > gru 2 > last");
        let initial = [
            Initial { layer: 1, hidden: vec![0.1, 0.2, 0.3, 0.4], cell: vec![1.0, 2.0, 3.0, 4.0] },
            Initial { layer: 2, hidden: vec![0.5, -0.5], cell: Vec::new() },
        ];
        network.begin_in(&initial).unwrap();
        assert_eq!(network.initial(), initial);
        let stored = postcard::to_stdvec(&network).unwrap();
        assert_eq!(postcard::from_bytes::<Network<f64>>(&stored).unwrap(), network);
        assert_eq!(network.convert::<f32>().convert::<f64>().initial()[1], initial[1]);
        let mut json = serde_json::to_value(&network).unwrap();
        let last = json["tensors"].as_array().unwrap().len() - 1;
        json["tensors"][last]["rows"] = 1.into();
        assert!(serde_json::from_value::<Network<f64>>(json.clone()).is_err());
        json["tensors"].as_array_mut().unwrap().pop();
        let error = serde_json::from_value::<Network<f64>>(json).unwrap_err().to_string();
        assert!(error.contains("tensors"), "{error}");
        network.begin_in(&[]).unwrap();
        assert!(network.initial().is_empty());
    }

    #[test]
    fn initial_states_of_no_layer_are_refused() {
        let mut network = network("dense 2 > lstm 2 > gru 2 > last");
        let state =
            |layer, units: usize, cells: usize| Initial { layer, hidden: vec![0.5; units], cell: vec![0.5; cells] };
        for (wrong, problem) in [
            (state(0, 2, 0), "this is none"),
            (state(3, 2, 0), "this is none"),
            (state(9, 2, 0), "this is none"),
            (state(1, 2, 0), "of each unit"),
            (state(1, 3, 3), "of each unit"),
            (state(2, 2, 2), "of each unit"),
            (Initial { hidden: vec![0.5, f64::NAN], ..state(1, 2, 2) }, "not finite"),
            (Initial { cell: vec![0.5, -2e7], ..state(1, 2, 2) }, "larger than 2^24"),
        ] {
            let error = network.begin_in(std::slice::from_ref(&wrong)).unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(&format!("layer {}", wrong.layer)), "{error}");
        }
        assert!(network.initial().is_empty());
    }
}
