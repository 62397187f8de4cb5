//! Activations by the names that ONNX has for them, with the numbers in their equations.

use super::chain::Activations;
use crate::described::{Activation, Cell};

/// Those of a cell whose node names none.
pub(crate) fn usual(cell: Cell) -> Activations {
    match cell {
        Cell::Rnn => [Activation::Tanh; 3],
        Cell::Lstm | Cell::Gru { .. } => [Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
    }
}

/// clamp(α·x + β, 0, 1), by the name that a description has for it.
pub(crate) fn hard_sigmoid(alpha: f32, beta: f32) -> Activation {
    if beta == 0.5 && (alpha - 0.2).abs() < 1e-7 {
        Activation::HardSigmoid
    } else if beta == 0.5 && (alpha - 1.0 / 6.0).abs() < 1e-7 {
        Activation::HardSigmoidSixth
    } else {
        Activation::HardSigmoidOf(alpha, beta)
    }
}

/// An activation of a recurrent node. It takes as many of the numbers α and β as its equation has, else those of the operator of its name; nothing where
/// the name is unknown.
pub(crate) fn named(
    name: &str,
    alphas: &mut dyn Iterator<Item = f32>,
    betas: &mut dyn Iterator<Item = f32>,
) -> Option<Activation> {
    let mut alpha = |otherwise: f32| alphas.next().unwrap_or(otherwise);
    let mut beta = |otherwise: f32| betas.next().unwrap_or(otherwise);
    Some(match name.to_ascii_lowercase().as_str() {
        "relu" => Activation::Relu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        "softsign" => Activation::Softsign,
        "softplus" => Activation::Softplus,
        "affine" => Activation::Affine(alpha(1.0), beta(0.0)),
        "leakyrelu" => Activation::LeakyRelu(alpha(0.01)),
        "thresholdedrelu" => Activation::ThresholdedRelu(alpha(1.0)),
        "scaledtanh" => Activation::ScaledTanh(alpha(1.0), beta(1.0)),
        "hardsigmoid" => hard_sigmoid(alpha(0.2), beta(0.5)),
        "elu" => Activation::Elu(alpha(1.0)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_to_the_activations_whose_equations_have_some() {
        let (mut alphas, mut betas) = ([0.3, 2.0].into_iter(), [0.25].into_iter());
        let mut next = |name: &str| named(name, &mut alphas, &mut betas);
        assert_eq!(next("LeakyRelu"), Some(Activation::LeakyRelu(0.3)));
        assert_eq!(next("Tanh"), Some(Activation::Tanh));
        assert_eq!(next("HardSigmoid"), Some(Activation::HardSigmoidOf(2.0, 0.25)));
        assert_eq!(next("HardSigmoid"), Some(Activation::HardSigmoid));
        assert_eq!(next("Swish"), None);
    }
}
