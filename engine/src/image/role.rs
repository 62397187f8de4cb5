//! What a section of an image holds.

/// What a section holds. Together with the number of its layer it names a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(latch_defmt, derive(defmt::Format))]
pub enum Role {
    /// Decoding tables of the vocabulary's two codes: `2^character_bits` then `2^prefix_bits` pairs.
    VocabularyTables,
    /// Offset of each block of words.
    VocabularyIndex,
    /// The coded words.
    VocabularyText,
    /// What a count of each channel's samples stands for.
    Units,
    /// Four numbers for each channel that bring its samples to values, see [`crate::input::samples`].
    Scaling,
    /// The same four for the samples that go around the network.
    Skip,
    /// Rows of the embedding, `rows × width`, row-major; in tiers the whole rows only.
    Embedding,
    /// Embedding in tiers: which ids have a whole row, see [`super::ids`].
    WholeRows,
    /// Embedding in tiers: A of [`Tiers`](crate::layers::embedding::Tiers), row-major.
    Quotients,
    /// Embedding in tiers: B likewise.
    Remainders,
    /// Precomputed input projection: which ids have a ready row, see [`super::ids`].
    ProjectedIndex,
    /// Precomputed input projection: for each such id the first layer's `W x + b`, in the order of its biases.
    ProjectedRows,
    /// Kernel of the inputs by itself, where the layer's input is projected.
    Kernel,
    /// A layer's weights in the order in which the kernels walk them, see [`crate::kernels`].
    Weights,
    /// Integer precisions: a multiplier for each row of the weights.
    Multipliers,
    /// A bias for each row of the weights.
    Biases,
    /// The second matrix of a layer that has two.
    RecurrentWeights,
    /// Its multipliers.
    RecurrentMultipliers,
    /// Its biases.
    RecurrentBiases,
    /// The weights of the second direction of a layer that has two.
    BackwardWeights,
    /// Their multipliers.
    BackwardMultipliers,
    /// Their biases.
    BackwardBiases,
    /// The second matrix of the second direction.
    BackwardRecurrentWeights,
    /// Its multipliers.
    BackwardRecurrentMultipliers,
    /// Its biases.
    BackwardRecurrentBiases,
    /// Peepholes of an LSTM, a row a gate that has them.
    Peepholes,
    /// Projection of the hidden state.
    Projection,
    /// What normalized features are multiplied by.
    Scale,
    /// Numbers of a layer that its record has no room for.
    Numbers,
    /// Entries of the table of n-grams, see [`crate::input::ngrams`].
    Ngrams,
    /// The state in which a stream begins, behind its header, see [`crate::state`].
    Start,
}

impl Role {
    /// True of what belongs to a layer, and not to the input, to the n-grams or to the start.
    #[cfg(feature = "std")]
    pub(crate) const fn is_of_layer(self) -> bool {
        !matches!(
            self,
            Role::VocabularyTables
                | Role::VocabularyIndex
                | Role::VocabularyText
                | Role::Units
                | Role::Scaling
                | Role::Skip
                | Role::Embedding
                | Role::WholeRows
                | Role::Quotients
                | Role::Remainders
                | Role::ProjectedIndex
                | Role::ProjectedRows
                | Role::Ngrams
                | Role::Start
        )
    }

    /// True of rows of an embedding, whose four-bit weights are padded and in an order of their own.
    pub const fn has_rows(self) -> bool {
        matches!(self, Role::Embedding | Role::Quotients | Role::Remainders)
    }

    /// The tensor of the same kind in the second direction of a layer.
    pub const fn backward(self) -> Self {
        match self {
            Role::Weights => Role::BackwardWeights,
            Role::Multipliers => Role::BackwardMultipliers,
            Role::Biases => Role::BackwardBiases,
            Role::RecurrentWeights => Role::BackwardRecurrentWeights,
            Role::RecurrentMultipliers => Role::BackwardRecurrentMultipliers,
            Role::RecurrentBiases => Role::BackwardRecurrentBiases,
            other => other,
        }
    }

    /// As it is written in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Role::VocabularyTables => "vocabulary tables",
            Role::VocabularyIndex => "vocabulary index",
            Role::VocabularyText => "vocabulary text",
            Role::Units => "units of counts",
            Role::Scaling => "scaling",
            Role::Skip => "skip",
            Role::Embedding => "embedding",
            Role::WholeRows => "index of whole rows",
            Role::Quotients => "other rows",
            Role::Remainders => "their remainders",
            Role::ProjectedIndex => "index of projected rows",
            Role::ProjectedRows => "projected rows",
            Role::Kernel => "kernel",
            Role::Weights => "weights",
            Role::Multipliers => "multipliers",
            Role::Biases => "biases",
            Role::RecurrentWeights => "recurrent weights",
            Role::RecurrentMultipliers => "recurrent multipliers",
            Role::RecurrentBiases => "recurrent biases",
            Role::BackwardWeights => "backward weights",
            Role::BackwardMultipliers => "backward multipliers",
            Role::BackwardBiases => "backward biases",
            Role::BackwardRecurrentWeights => "backward recurrent weights",
            Role::BackwardRecurrentMultipliers => "backward recurrent multipliers",
            Role::BackwardRecurrentBiases => "backward recurrent biases",
            Role::Peepholes => "peepholes",
            Role::Projection => "projection",
            Role::Scale => "scale",
            Role::Numbers => "numbers",
            Role::Ngrams => "n-grams",
            Role::Start => "start state",
        }
    }
}
