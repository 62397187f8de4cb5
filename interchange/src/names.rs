//! How PyTorch and Keras name, shape and order the tensors of a model.
//!
//! | tensor | PyTorch | Keras |
//! | --- | --- | --- |
//! | embedding | `embedding.weight`, rows × width | `embedding.embeddings`, rows × width |
//! | W of layer N | `lstm.weight_ih_lN`, G·units × inputs | `lstm.N.kernel`, inputs × G·units |
//! | U of layer N | `lstm.weight_hh_lN`, G·units × units | `lstm.N.recurrent_kernel`, units × G·units |
//! | b of layer N | `lstm.bias_ih_lN` and `lstm.bias_hh_lN`, G·units each | `lstm.N.bias`, G·units; of a GRU with reset after, 2 × G·units |
//! | head | `head.weight`, outputs × units; `head.bias`, outputs | `head.kernel`, units × outputs; `head.bias`, outputs |
//!
//! `gru` and `rnn` stand in place of `lstm`; N counts the layers of all kinds. Gates: LSTM i, f, g, o in both (Keras calls c what PyTorch calls g);
//! GRU r, z, n in PyTorch and z, r, h in Keras; an RNN has none. A GRU of PyTorch resets after the product.

use serde::{Deserialize, Serialize};

use crate::described::Matrix;

/// Whose names and shapes the tensors of a file have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `load_state_dict` of a module with `embedding`, `lstm` and `head` takes the tensors as they are
    #[cfg_attr(feature = "clap", value(name = "pytorch"))]
    PyTorch,
    /// `set_weights` of each layer takes the tensors as they are
    Keras,
}

/// A kind of layer, as it stands in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// `lstm`
    Lstm,
    /// `gru`
    Gru,
    /// `rnn`
    Rnn,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lstm, Self::Gru, Self::Rnn];

    /// As it stands in names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lstm => "lstm",
            Self::Gru => "gru",
            Self::Rnn => "rnn",
        }
    }

    /// Rows of a unit.
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
            Self::Rnn => 1,
        }
    }
}

impl Layout {
    /// Both.
    pub const ALL: [Self; 2] = [Self::PyTorch, Self::Keras];

    /// The layout's name.
    pub fn name(self) -> &'static str {
        match self {
            Layout::PyTorch => "pytorch",
            Layout::Keras => "keras",
        }
    }

    /// The order of a family's gates in the framework's own letters; none where there is one row a unit.
    pub fn gates(self, family: Family) -> Option<&'static str> {
        match (self, family) {
            (Layout::PyTorch, Family::Lstm) => Some("i,f,g,o"),
            (Layout::Keras, Family::Lstm) => Some("i,f,c,o"),
            (Layout::PyTorch, Family::Gru) => Some("r,z,n"),
            (Layout::Keras, Family::Gru) => Some("z,r,h"),
            (_, Family::Rnn) => None,
        }
    }

    /// The embedding's tensor.
    pub fn embedding(self) -> &'static str {
        match self {
            Layout::PyTorch => "embedding.weight",
            Layout::Keras => "embedding.embeddings",
        }
    }

    /// The tensor of W.
    pub fn kernel(self, family: Family, layer: usize) -> String {
        let family = family.name();
        match self {
            Layout::PyTorch => format!("{family}.weight_ih_l{layer}"),
            Layout::Keras => format!("{family}.{layer}.kernel"),
        }
    }

    /// The tensor of U.
    pub fn recurrent_kernel(self, family: Family, layer: usize) -> String {
        let family = family.name();
        match self {
            Layout::PyTorch => format!("{family}.weight_hh_l{layer}"),
            Layout::Keras => format!("{family}.{layer}.recurrent_kernel"),
        }
    }

    /// The tensors of the biases.
    pub fn biases(self, family: Family, layer: usize) -> Vec<String> {
        let family = family.name();
        match self {
            Layout::PyTorch => vec![format!("{family}.bias_ih_l{layer}"), format!("{family}.bias_hh_l{layer}")],
            Layout::Keras => vec![format!("{family}.{layer}.bias")],
        }
    }

    /// All tensors of a layer.
    pub fn of_layer(self, family: Family, layer: usize) -> Vec<String> {
        let mut names = self.biases(family, layer);
        names.extend([self.kernel(family, layer), self.recurrent_kernel(family, layer)]);
        names
    }

    /// The layer whose tensor this is.
    pub fn layer_of(self, name: &str) -> Option<(Family, usize)> {
        Family::ALL.into_iter().find_map(|family| {
            let rest = name.strip_prefix(family.name())?.strip_prefix('.')?;
            let number = match self {
                Layout::PyTorch => {
                    let parts = ["weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l"];
                    parts.into_iter().find_map(|part| rest.strip_prefix(part))?
                }
                Layout::Keras => rest.split_once('.')?.0,
            };
            let layer: usize = number.parse().ok()?;
            // `+1` and `01` are numbers, and no names of ours.
            self.of_layer(family, layer).iter().any(|known| known == name).then_some((family, layer))
        })
    }

    /// The tensor of the head's kernel.
    pub fn head(self) -> &'static str {
        match self {
            Layout::PyTorch => "head.weight",
            Layout::Keras => "head.kernel",
        }
    }

    /// The shape of a kernel, outputs × inputs in a description.
    pub fn kernel_shape(self, outputs: usize, inputs: usize) -> [usize; 2] {
        match self {
            Layout::PyTorch => [outputs, inputs],
            Layout::Keras => [inputs, outputs],
        }
    }

    /// Brings blocks of rows from this layout's order of gates into that of a description, or back.
    pub fn swap_gates(self, family: Family, values: &mut [f32]) {
        if self == Layout::PyTorch && family == Family::Gru {
            // r, z, n and z, r, n.
            let block = values.len() / 3;
            let (first, rest) = values.split_at_mut(block);
            first.swap_with_slice(&mut rest[..block]);
        }
    }

    /// A kernel of a description as the file has it, row-major.
    pub fn of_kernel(self, family: Family, kernel: &Matrix) -> Vec<f32> {
        let mut kernel = kernel.clone();
        self.swap_gates(family, &mut kernel.values);
        match self {
            Layout::PyTorch => kernel.values,
            Layout::Keras => kernel.transposed().values,
        }
    }

    /// The kernel, outputs × inputs, of what [`Layout::of_kernel`] gives.
    pub fn to_kernel(self, family: Family, source: String, values: Vec<f32>, rows: usize, columns: usize) -> Matrix {
        let mut kernel = match self {
            Layout::PyTorch => Matrix { source, rows, columns, values },
            Layout::Keras => Matrix { source, rows: columns, columns: rows, values }.transposed(),
        };
        self.swap_gates(family, &mut kernel.values);
        kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_layer_and_only_names_that_are_written_do() {
        for layout in Layout::ALL {
            for family in Family::ALL {
                for name in layout.of_layer(family, 12) {
                    assert_eq!(layout.layer_of(&name), Some((family, 12)), "{name}");
                }
            }
        }
        for name in [
            "lstm.weight_ih_l01",
            "lstm.weight_ih_l+1",
            "lstm.weight_ih_l0_reverse",
            "lstm.weight_ih_l",
            "cell.0.kernel",
        ] {
            assert_eq!(Layout::PyTorch.layer_of(name).or(Layout::Keras.layer_of(name)), None, "{name}");
        }
    }

    #[test]
    fn a_kernel_comes_back_from_both_layouts() {
        let kernel = Matrix { source: "x".into(), rows: 6, columns: 2, values: (0..12).map(|i| i as f32).collect() };
        for layout in Layout::ALL {
            for family in Family::ALL {
                let written = layout.of_kernel(family, &kernel);
                assert_eq!(layout.to_kernel(family, "x".into(), written, 6, 2), kernel);
            }
        }
        let torch = Layout::PyTorch.of_kernel(Family::Gru, &kernel);
        assert_eq!(torch[..5], [4.0, 5.0, 6.0, 7.0, 0.0]);
    }
}
