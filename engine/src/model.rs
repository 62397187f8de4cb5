//! An opened image made ready to run: embedding, recurrent layers, readout and head, joined with the kernels.
//!
//! A [`Model`] is shared and immutable. A [`State`] is what one stream remembers: a value of a fixed size, the same bytes on every
//! machine. A [`Session`] is a model with a state. There is no arithmetic here that a kernel could do, no `unsafe` and no choice by architecture.

#[cfg(feature = "extended")]
mod answer;
#[cfg(feature = "extended")]
mod attention;
#[cfg(feature = "extended")]
mod bag;
mod embedding;
#[cfg(all(feature = "fold", feature = "std"))]
mod fold;
#[cfg(feature = "fold")]
mod folded;
mod head;
mod lstm;
#[cfg(feature = "extended")]
mod nibbles;
#[cfg(not(latch_backend))]
mod packed;
mod self_test;
mod session;
mod state;

#[cfg(all(feature = "extended", feature = "std"))]
pub use answer::with_answer;
#[cfg(feature = "extended")]
pub use attention::attention_weight;
#[cfg(all(feature = "extended", feature = "float"))]
pub use attention::attention_weight_f32;
#[cfg(all(feature = "fold", feature = "std"))]
pub use fold::{fold, folded_image_bytes};
pub use head::{Logit, probability_q15};
#[cfg(feature = "std")]
pub use self_test::certify;
pub use self_test::{SELF_TEST_TOKENS, SelfTest};
pub use session::{Digest, Session};
#[cfg(feature = "fold")]
pub use state::folded_stream_bytes;
#[cfg(feature = "extended")]
pub use state::nibble_stream_bytes;
pub use state::{State, StreamShape, state_bytes, stream_bytes};

use heapless::Vec;

use crate::image::Image;
use crate::image::error::Error;
#[cfg(feature = "float")]
use crate::image::manifest::MAX_LAYERS;
use crate::image::manifest::{Input, Layer, Manifest, Precision, Readout, Unknown};
#[cfg(feature = "extended")]
use crate::image::manifest::{Nibbles, Units};
use crate::image::tensor::Role;
#[cfg(feature = "extended")]
use crate::input::ngrams::Ngrams;
use crate::input::vocabulary::Vocabulary;
use crate::kernels::{AnyBackend, Packed, RowsI8};
#[cfg(feature = "float")]
use crate::kernels::{FloatWeight, RowsFloat};

use embedding::Embedding;
#[cfg(feature = "fold")]
use folded::Folded;
#[cfg(feature = "float")]
use head::HeadFloat;
use head::HeadInt;
use lstm::Layers;

/// A model over an opened image: typed tensors that borrow the image's bytes.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    vocabulary: Option<Vocabulary<'a>>,
    unknown: Unknown,
    #[cfg(feature = "extended")]
    units: Units,
    #[cfg(feature = "extended")]
    ngrams: Option<Ngrams<'a>>,
    shape: StreamShape,
    /// [`Model::scratch_start`], where the bytes of code that keep it are not counted.
    #[cfg(not(latch_backend))]
    scratch: usize,
    weights: Weights<'a>,
    backend: AnyBackend,
    /// Ids of the embedding.
    rows: u32,
    self_test: Option<u64>,
    crc: u32,
    #[cfg(feature = "extended")]
    answer: crate::image::manifest::Answer,
    #[cfg(feature = "extended")]
    early: Vec<crate::image::manifest::Early, { crate::image::manifest::MAX_EARLY }>,
}

/// The tensors of each precision.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one lives as long as the program, and there is no heap")]
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
    layers: Layers<RowsFloat<'a, W>>,
    head: HeadFloat<'a, W>,
    #[cfg(feature = "fold")]
    folded: Option<Folded<'a, W, f32>>,
}

/// An integer model.
#[derive(Clone, Debug)]
struct Int8<'a> {
    /// The layers' weights are nibbles, two in each of their bytes.
    #[cfg(feature = "extended")]
    nibbles: bool,
    #[cfg(feature = "extended")]
    tiers: Option<embedding::Tiered<'a>>,
    embedding: Embedding<'a, i8>,
    layers: Layers<RowsI8<'a>>,
    head: HeadInt<'a>,
    #[cfg(feature = "fold")]
    folded: Option<Folded<'a, i8, i32>>,
}

impl<'a> Model<'a> {
    /// Cuts an image into typed tensors and takes the widest backend that this machine has.
    pub fn new(image: &Image<'a>) -> Self {
        let mut model = Self::NOTHING;
        model.fill(image);
        model
    }

    /// The same in memory of the caller's, for machines with a small stack.
    pub fn new_in<'p>(place: &'p mut Option<Self>, image: &Image<'a>) -> &'p mut Self {
        let model = place.insert(Self::NOTHING);
        model.fill(image);
        model
    }

    /// A model of no image.
    const NOTHING: Self = Model {
        vocabulary: None,
        unknown: Unknown::Skip,
        #[cfg(feature = "extended")]
        units: Units::Words,
        #[cfg(feature = "extended")]
        ngrams: None,
        shape: StreamShape {
            precision: Precision::Int8,
            readout: Readout::Last,
            inputs: 0,
            units: Vec::new(),
            outputs: 0,
            folded: false,
            #[cfg(feature = "extended")]
            nibbles: Nibbles { embedding: false, gates: false },
            #[cfg(feature = "extended")]
            tiers: false,
            ngrams: 0,
        },
        #[cfg(not(latch_backend))]
        scratch: 0,
        weights: Weights::Int8(Int8 {
            #[cfg(feature = "extended")]
            nibbles: false,
            #[cfg(feature = "extended")]
            tiers: None,
            embedding: Embedding::NOTHING,
            layers: Vec::new(),
            head: HeadInt::NOTHING,
            #[cfg(feature = "fold")]
            folded: None,
        }),
        backend: AnyBackend::BASE,
        rows: 0,
        self_test: None,
        crc: 0,
        #[cfg(feature = "extended")]
        answer: crate::image::manifest::Answer { kind: crate::image::manifest::AnswerKind::Classes, each_step: false },
        #[cfg(feature = "extended")]
        early: Vec::new(),
    };

    #[inline(never)]
    fn fill(&mut self, image: &Image<'a>) {
        let manifest = &image.manifest();
        if let Input::Text(text) = manifest.input {
            // Opening has read it once already.
            self.vocabulary = image.read_vocabulary(manifest).ok().flatten();
            self.unknown = text.unknown;
        }
        #[cfg(feature = "extended")]
        {
            self.units = manifest.extended.units;
        }
        self.shape.precision = manifest.precision;
        self.shape.readout = manifest.readout;
        self.shape.inputs = manifest.embedding.width;
        self.shape.outputs = manifest.head.outputs;
        self.shape.folded = manifest.folded > 0;
        #[cfg(feature = "extended")]
        {
            self.shape.nibbles = manifest.extended.nibbles;
            self.shape.tiers = manifest.extended.tiers.is_some();
        }
        #[cfg(feature = "extended")]
        if let Some(shape) = manifest.extended.ngrams {
            self.shape.ngrams = shape.longest;
            self.ngrams = Some(Ngrams::new(shape, image.tensor(manifest, Role::Ngrams, 0)));
        }
        for Layer::Lstm(lstm) in &manifest.layers {
            // The manifest holds at most as many layers as this vector.
            let _ = self.shape.units.push(lstm.units);
        }
        #[cfg(not(latch_backend))]
        {
            self.scratch = self.shape.scratch_start();
        }
        self.backend = AnyBackend::detect();
        self.rows = manifest.embedding.rows;
        self.self_test = image.self_test();
        self.crc = image.crc();
        #[cfg(feature = "extended")]
        {
            self.answer = manifest.extended.answer;
            self.early.clone_from(&manifest.extended.early);
        }
        #[cfg(feature = "float")]
        match manifest.precision {
            Precision::F32 => self.weights = Weights::F32(Float::new(image, manifest)),
            Precision::F16 => self.weights = Weights::F16(Float::new(image, manifest)),
            Precision::Int8 => {}
        }
        #[allow(irrefutable_let_patterns, reason = "not with floats")]
        if let Weights::Int8(weights) = &mut self.weights {
            weights.fill(image, manifest);
        }
    }

    /// The same model on another backend; for tests and for comparing speeds. Weights that [`Model::pack`] has packed are forgotten: they
    /// are in the order of the backend before.
    #[must_use]
    pub fn with_backend(mut self, backend: AnyBackend) -> Self {
        self.backend = backend;
        #[allow(irrefutable_let_patterns, reason = "not with floats")]
        if let Weights::Int8(weights) = &mut self.weights {
            weights.layers.iter_mut().for_each(|gates| gates.packed = Packed::NONE);
        }
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

    /// Where the scratch of a step begins behind the header.
    #[inline(always)]
    fn scratch_start(&self) -> usize {
        #[cfg(not(latch_backend))]
        return self.scratch;
        #[cfg(latch_backend)]
        self.shape.scratch_start()
    }

    /// True when this build of the engine has the model's precision.
    fn is_available(&self) -> bool {
        cfg!(feature = "float") || self.shape.precision == Precision::Int8
    }
}

#[cfg(feature = "float")]
impl<'a, W: FloatWeight> Float<'a, W> {
    fn new(image: &Image<'a>, manifest: &Manifest) -> Self {
        let mut layers: Vec<_, MAX_LAYERS> = Vec::new();
        for index in 0..manifest.layers.len() as u8 {
            let gates = RowsFloat {
                weights: image.tensor(manifest, Role::GateWeights, index),
                bias: image.tensor(manifest, Role::GateBiases, index),
            };
            let _ = layers.push(gates);
        }
        Float {
            embedding: Embedding::new(image, manifest),
            layers,
            head: HeadFloat::new(image, manifest),
            #[cfg(feature = "fold")]
            folded: Folded::new(image, manifest),
        }
    }
}

impl<'a> Int8<'a> {
    fn fill(&mut self, image: &Image<'a>, manifest: &Manifest) {
        self.embedding = Embedding::new(image, manifest);
        #[cfg(feature = "extended")]
        if manifest.extended.nibbles.embedding {
            self.embedding.halve();
        }
        #[cfg(feature = "extended")]
        {
            self.nibbles = manifest.extended.nibbles.gates;
            self.tiers = manifest.extended.tiers.map(|tiers| embedding::Tiered::new(image, manifest, tiers));
        }
        self.head = HeadInt::new(image, manifest);
        for (index, Layer::Lstm(lstm)) in manifest.layers.iter().enumerate() {
            let index = index as u8;
            let gates = RowsI8 {
                weights: image.tensor(manifest, Role::GateWeights, index),
                multiplier: image.tensor(manifest, Role::GateMultipliers, index),
                bias: image.tensor(manifest, Role::GateBiases, index),
                shift: u32::from(lstm.shift),
                packed: Packed::NONE,
            };
            let _ = self.layers.push(gates);
        }
        #[cfg(feature = "fold")]
        {
            self.folded = Folded::new(image, manifest);
        }
    }
}
