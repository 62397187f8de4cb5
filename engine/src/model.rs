//! An opened image made ready to run: embedding, recurrent layers, readout and head, joined with the kernels.
//!
//! A [`Model`] is shared and immutable. A [`State`] is what one stream remembers: a value of a fixed size, the same bytes on every
//! machine. A [`Session`] is a model with a state. There is no arithmetic here that a kernel could do, no `unsafe` and no choice by architecture.

mod embedding;
mod head;
mod lstm;
mod session;
mod state;

pub use head::{Logit, probability_q15};
pub use session::{Digest, Session};
pub use state::{State, StreamShape, state_bytes, stream_bytes};

use heapless::Vec;

use crate::image::Image;
use crate::image::error::Error;
use crate::image::manifest::{Input, Layer, MAX_LAYERS, Precision, Unknown};
use crate::image::tensor::Role;
use crate::input::vocabulary::Vocabulary;
use crate::kernels::{AnyBackend, GatesI8};
#[cfg(feature = "float")]
use crate::kernels::{FloatWeight, GatesFloat};

use embedding::Embedding;
#[cfg(feature = "float")]
use head::HeadFloat;
use head::HeadInt;
use lstm::Layers;

/// A model over an opened image: typed tensors that borrow the image's bytes.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    vocabulary: Option<Vocabulary<'a>>,
    unknown: Option<u32>,
    shape: StreamShape,
    weights: Weights<'a>,
    backend: AnyBackend,
    crc: u32,
}

/// The tensors of each precision.
#[derive(Clone, Debug)]
enum Weights<'a> {
    #[cfg(feature = "float")]
    F32(Float<'a, f32>),
    #[cfg(feature = "float")]
    F16(Float<'a, half::f16>),
    Int8(Int8<'a>),
}

/// A float model: storage in `W`, arithmetic in f32.
#[cfg(feature = "float")]
#[derive(Clone, Debug)]
struct Float<'a, W> {
    embedding: Embedding<'a, W>,
    layers: Layers<GatesFloat<'a, W>>,
    head: HeadFloat<'a, W>,
}

/// An integer model.
#[derive(Clone, Debug)]
struct Int8<'a> {
    embedding: Embedding<'a, i8>,
    layers: Layers<GatesI8<'a>>,
    head: HeadInt<'a>,
}

impl<'a> Model<'a> {
    /// Cuts an image into typed tensors and takes the widest backend that this machine has.
    pub fn new(image: &Image<'a>) -> Self {
        let manifest = image.manifest();
        let (vocabulary, unknown) = match manifest.input {
            Input::Text(text) => (image.vocabulary(), (text.unknown == Unknown::LastRow).then_some(text.words)),
            Input::Ids => (None, None),
        };
        let mut units = Vec::new();
        for Layer::Lstm(lstm) in &manifest.layers {
            // The manifest holds at most as many layers as this vector.
            let _ = units.push(lstm.units);
        }
        let shape = StreamShape {
            precision: manifest.precision,
            readout: manifest.readout,
            inputs: manifest.embedding.width,
            units,
            outputs: manifest.head.outputs,
        };
        let weights = match manifest.precision {
            #[cfg(feature = "float")]
            Precision::F32 => Weights::F32(Float::new(image)),
            #[cfg(feature = "float")]
            Precision::F16 => Weights::F16(Float::new(image)),
            _ => Weights::Int8(Int8::new(image)),
        };
        Model { vocabulary, unknown, shape, weights, backend: AnyBackend::detect(), crc: image.crc() }
    }

    /// The same model on another backend; for tests and for comparing speeds.
    #[must_use]
    pub fn with_backend(mut self, backend: AnyBackend) -> Self {
        self.backend = backend;
        self
    }

    /// The backend that runs this model.
    pub fn backend(&self) -> AnyBackend {
        self.backend
    }

    /// Bytes of state that a stream of this model needs: the least `N` of [`State<N>`].
    pub fn state_bytes(&self) -> usize {
        state_bytes(&self.shape)
    }

    /// The shape that decides how large a stream's state is.
    pub fn shape(&self) -> &StreamShape {
        &self.shape
    }

    /// The vocabulary of a text model.
    pub fn vocabulary(&self) -> Option<&Vocabulary<'a>> {
        self.vocabulary.as_ref()
    }

    /// Starts a stream in a state, whatever the state held before.
    ///
    /// # Errors
    /// [`Error::StateTooSmall`] when `N` is less than [`Model::state_bytes`], [`Error::PrecisionUnavailable`] when the image needs floats
    /// and the engine was built without them.
    pub fn session<'s, 'm, const N: usize>(&'m self, state: &'s mut State<N>) -> Result<Session<'s, 'm, 'a>, Error> {
        self.session_in(state.as_bytes_mut())
    }

    /// Starts a stream in any memory that starts on a multiple of 4, where its size is known at run time only.
    ///
    /// # Errors
    /// Those of [`Model::session`], and [`Error::StateMisaligned`].
    pub fn session_in<'s, 'm>(&'m self, memory: &'s mut [u8]) -> Result<Session<'s, 'm, 'a>, Error> {
        let mut session = Session::over(self, memory)?;
        session.reset();
        Ok(session)
    }

    /// Goes on with the stream whose state was kept, in the middle of a word or anywhere.
    ///
    /// # Errors
    /// [`Error::StateOfAnotherModel`] or [`Error::StateDamaged`] when the state is not one of this model, besides those of [`Model::session`].
    pub fn resume<'s, 'm, const N: usize>(&'m self, state: &'s mut State<N>) -> Result<Session<'s, 'm, 'a>, Error> {
        self.resume_in(state.as_bytes_mut())
    }

    /// As [`Model::resume`], in any memory that starts on a multiple of 4.
    ///
    /// # Errors
    /// Those of [`Model::resume`], and [`Error::StateMisaligned`].
    pub fn resume_in<'s, 'm>(&'m self, memory: &'s mut [u8]) -> Result<Session<'s, 'm, 'a>, Error> {
        let session = Session::over(self, memory)?;
        session.check()?;
        Ok(session)
    }

    /// True when this build of the engine has the model's precision.
    fn is_available(&self) -> bool {
        cfg!(feature = "float") || self.shape.precision == Precision::Int8
    }
}

#[cfg(feature = "float")]
impl<'a, W: FloatWeight> Float<'a, W> {
    fn new(image: &Image<'a>) -> Self {
        let mut layers: Vec<_, MAX_LAYERS> = Vec::new();
        for index in 0..image.manifest().layers.len() as u8 {
            let gates = GatesFloat {
                weights: image.tensor(Role::GateWeights, index),
                bias: image.tensor(Role::GateBiases, index),
            };
            let _ = layers.push(gates);
        }
        Float { embedding: Embedding::new(image), layers, head: HeadFloat::new(image) }
    }
}

impl<'a> Int8<'a> {
    fn new(image: &Image<'a>) -> Self {
        let mut layers: Vec<_, MAX_LAYERS> = Vec::new();
        for (index, Layer::Lstm(lstm)) in image.manifest().layers.iter().enumerate() {
            let index = index as u8;
            let gates = GatesI8 {
                weights: image.tensor(Role::GateWeights, index),
                multiplier: image.tensor(Role::GateMultipliers, index),
                bias: image.tensor(Role::GateBiases, index),
                shift: u32::from(lstm.shift),
            };
            let _ = layers.push(gates);
        }
        Int8 { embedding: Embedding::new(image), layers, head: HeadInt::new(image) }
    }
}
