//! Recurrent cells with options that the plain layers have not: other activations, peepholes, coupled gates, a clip, a projection. Images have them in f32 and f16.

use super::{Activation, CellConfig, LayerConfig};

/// What sums, or an LSTM's c, go through.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CellActivation {
    /// One that dense layers have too.
    Plain(Activation),
    /// `clamp(α·x + β, 0, 1)`
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The value at 0.
        beta: f32,
    },
}

/// Slope and value at 0 of a hard sigmoid where nobody says them: those of Keras 1 and 2, and of ONNX.
const HARD: (f32, f32) = (0.2, 0.5);

impl CellActivation {
    /// The hyperbolic tangent.
    pub const TANH: Self = Self::Plain(Activation::Tanh);
    /// The logistic sigmoid.
    pub const SIGMOID: Self = Self::Plain(Activation::Sigmoid);
    /// The hard sigmoid whose numbers nobody says.
    pub const HARD_SIGMOID: Self = Self::HardSigmoid { alpha: HARD.0, beta: HARD.1 };

    /// Reads `relu`, `hard_sigmoid` or `hard_sigmoid:ALPHA:BETA`.
    pub(super) fn named(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let name = parts.next()?;
        let (alpha, beta) = (parts.next(), parts.next());
        if name != "hard_sigmoid" {
            return Activation::named(text).map(Self::Plain);
        }
        let number = |text: &str| text.parse().ok().filter(|number: &f32| number.is_finite());
        match (alpha, beta, parts.next()) {
            (None, ..) => Some(Self::HARD_SIGMOID),
            (Some(alpha), Some(beta), None) => Some(Self::HardSigmoid { alpha: number(alpha)?, beta: number(beta)? }),
            _ => None,
        }
    }

    /// Its values are in [-1, 1].
    fn is_bounded(self) -> bool {
        !matches!(self, Self::Plain(Activation::Linear | Activation::Relu))
    }

    /// Its values are in [0, 1].
    fn is_gate(self) -> bool {
        matches!(self, Self::SIGMOID | Self::HardSigmoid { .. })
    }
}

impl std::fmt::Display for CellActivation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(activation) => f.write_str(activation.name()),
            &Self::HARD_SIGMOID => f.write_str("hard_sigmoid"),
            Self::HardSigmoid { alpha, beta } => write!(f, "hard_sigmoid:{alpha}:{beta}"),
        }
    }
}

/// The cell that a variant is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariantKind {
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent unit; true where the reset acts after the product.
    Gru(bool),
    /// Simple recurrent unit.
    Rnn,
}

/// What a recurrent cell does with its rows; the equations are in `network/variant.rs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VariantConfig {
    /// The cell.
    pub kind: VariantKind,
    /// What candidates go through, or the sums of a simple unit.
    pub activation: CellActivation,
    /// What gates go through.
    pub gates: CellActivation,
    /// What c of an LSTM goes through on its way to h.
    pub output: CellActivation,
    /// The gates of an LSTM see its cell.
    pub peepholes: bool,
    /// The forget gate of an LSTM is 1 less its input gate.
    pub coupled: bool,
    /// What sums are held to before their activations, above 0.
    pub clip: Option<f32>,
    /// Features to which the hidden state of an LSTM is projected.
    pub projected: Option<usize>,
}

impl VariantConfig {
    /// A cell without any option.
    pub const fn plain(kind: VariantKind) -> Self {
        let (activation, gates) = (CellActivation::TANH, CellActivation::SIGMOID);
        let output = activation;
        Self { kind, activation, gates, output, peepholes: false, coupled: false, clip: None, projected: None }
    }

    /// Rows of a unit.
    pub fn gates(&self) -> usize {
        match self.kind {
            VariantKind::Lstm => 4 - usize::from(self.coupled),
            VariantKind::Gru(_) => 3,
            VariantKind::Rnn => 1,
        }
    }

    /// Its name in a chain.
    pub fn name(&self) -> &'static str {
        match self.kind {
            VariantKind::Lstm => "lstm",
            VariantKind::Gru(_) => "gru",
            VariantKind::Rnn => "rnn",
        }
    }

    /// True where its values are in [-1, 1].
    pub(super) fn is_bounded(&self) -> bool {
        match self.kind {
            VariantKind::Lstm => self.projected.is_none() && self.output.is_bounded() && self.gates.is_bounded(),
            VariantKind::Gru(_) => self.activation.is_bounded() && self.gates.is_gate(),
            VariantKind::Rnn => self.activation.is_bounded(),
        }
    }

    /// The layer of a cell: the plain one where there is no option that it has not.
    pub fn layer(self, cell: CellConfig) -> LayerConfig {
        match self.kind {
            VariantKind::Lstm if self == Self::plain(self.kind) => LayerConfig::Lstm(cell),
            VariantKind::Gru(reset_after) if self == Self::plain(self.kind) => LayerConfig::Gru { cell, reset_after },
            VariantKind::Rnn => match self.activation {
                CellActivation::Plain(activation @ (Activation::Tanh | Activation::Relu)) if self.clip.is_none() => {
                    LayerConfig::Rnn { cell, activation }
                }
                _ => LayerConfig::Variant { cell, form: self },
            },
            _ => LayerConfig::Variant { cell, form: self },
        }
    }
}

/// The options behind the units, each with a blank in front.
impl std::fmt::Display for VariantConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let usual = Self::plain(self.kind);
        self.projected.map_or(Ok(()), |features| write!(f, " project={features}"))?;
        let words = [
            (self.kind == VariantKind::Gru(false), "reset_before"),
            (self.peepholes, "peepholes"),
            (self.coupled, "coupled"),
        ];
        words.into_iter().filter(|(has, _)| *has).try_for_each(|(_, word)| write!(f, " {word}"))?;
        self.clip.map_or(Ok(()), |clip| write!(f, " clip={clip}"))?;
        if self.activation != usual.activation {
            write!(f, " activation={}", self.activation)?;
        }
        if self.gates != usual.gates {
            write!(f, " gates={}", self.gates)?;
        }
        // c goes through what candidates go through, unless it is said.
        if self.kind == VariantKind::Lstm && self.output != self.activation {
            write!(f, " output={}", self.output)?;
        }
        Ok(())
    }
}
