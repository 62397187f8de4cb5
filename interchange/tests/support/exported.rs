//! Models that are written for other frameworks, with weights by a seed; what is read over them.

use latch_interchange::writers::{self, keras::Naming};
use latch_interchange::{
    Activation, Answer, Bidirectional, Cell, Conv1d, Dense, Described, Embedding, Format, Gain, Input, Kind, Layer,
    LayerNorm, Matrix, MaxPool, Merge, Normalization, Padding, Pooling, Recurrent, Samples, Skip, Source, Task, Text,
    Vector, reference,
};
use serde_json::{Value, json};

/// The version that files say.
pub(crate) const VERSION: &str = "1.2.3";

/// Ids that an embedding knows.
const WORDS: usize = 9;

/// Channels of samples.
pub(crate) const CHANNELS: usize = 3;

/// A format that a writer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Onnx,
    Keras,
    Torch,
    RtNeural,
}

/// All of them.
pub(crate) const ALL: [To; 4] = [To::Onnx, To::Keras, To::Torch, To::RtNeural];

/// A model, and the formats that can hold it.
pub(crate) struct Exported {
    pub(crate) name: &'static str,
    pub(crate) model: Described,
    pub(crate) formats: Vec<To>,
    /// Formats that hold it and whose reader refuses it, as it does what no image has.
    pub(crate) one_way: Vec<To>,
    /// What the reader of Keras's weights must be told.
    pub(crate) chain: Option<&'static str>,
}

/// Numbers by a seed, of about this size: a congruential generator of 64 bits (Knuth, "The Art of Computer Programming", 3.3.4).
struct Seeded(u64);

impl Seeded {
    fn next(&mut self, size: f32) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The upper bits are the good ones.
        let unit = (self.0 >> 40) as f32 / (1_u64 << 24) as f32;
        size * (2.0 * unit - 1.0)
    }

    fn matrix(&mut self, rows: usize, columns: usize) -> Matrix {
        let values = (0..rows * columns).map(|_| self.next(0.9)).collect();
        Matrix { source: String::new(), rows, columns, values }
    }

    fn vector(&mut self, length: usize) -> Vector {
        Vector { source: String::new(), values: (0..length).map(|_| self.next(0.5)).collect() }
    }

    fn recurrent(&mut self, cell: Cell, inputs: usize, units: usize) -> Recurrent {
        let rows = cell.gates() * units;
        let kernels = (self.matrix(rows, inputs), self.matrix(rows, units));
        let bias = self.vector(rows);
        let second = (cell == GRU).then(|| self.vector(rows));
        Recurrent { recurrent_bias: second, ..Recurrent::new(cell, units, kernels, bias) }
    }

    fn dense(&mut self, inputs: usize, units: usize, activation: Activation) -> Kind {
        Kind::Dense(Dense { kernel: self.matrix(units, inputs), bias: self.vector(units), activation })
    }

    fn conv1d(&mut self, inputs: usize, units: usize, frames: usize, stride: usize, padding: Padding) -> Kind {
        let (kernel, bias) = (self.matrix(units, frames * inputs), self.vector(units));
        Kind::Conv1d(Conv1d { frames, stride, padding, activation: Activation::Relu, kernel, bias })
    }

    fn embedding(&mut self, width: usize) -> Kind {
        Kind::Embedding(Embedding { table: self.matrix(WORDS, width), mask_zero: false })
    }
}

const GRU: Cell = Cell::Gru { reset_after: true };
const GRU_BEFORE: Cell = Cell::Gru { reset_after: false };

/// What ids a model is run over.
pub(crate) fn ids() -> Vec<u32> {
    vec![3, 1, 8, 0, 5, 5, 2, 7]
}

/// What frames a model is run over, steps × channels; some beyond the bounds of the models that have some.
pub(crate) fn frames() -> Vec<f32> {
    let mut seeded = Seeded(5);
    (0..8 * CHANNELS).map(|_| seeded.next(2.0)).collect()
}

fn model(input: Input, task: Task, kinds: Vec<Kind>) -> Described {
    let named =
        |(number, kind): (usize, Kind)| Layer { name: format!("{}.{number}", kind.name().replace(' ', "_")), kind };
    Described {
        source: Source::of(Format::Onnx),
        input,
        layers: kinds.into_iter().enumerate().map(named).collect(),
        skip: None,
        gain: Gain::default(),
        answer: Answer { task: Some(task), classes: None },
    }
}

fn of_text(task: Task, kinds: Vec<Kind>) -> Described {
    model(Input::Ids(Text::default()), task, kinds)
}

fn of_samples(task: Task, kinds: Vec<Kind>) -> Described {
    model(Input::Samples(Samples { channels: CHANNELS, ..Samples::default() }), task, kinds)
}

fn exported(name: &'static str, model: Described, formats: &[To]) -> Exported {
    Exported { name, model, formats: formats.to_vec(), one_way: Vec::new(), chain: None }
}

impl Exported {
    fn one_way(self, one_way: &[To]) -> Self {
        Self { one_way: one_way.to_vec(), ..self }
    }

    fn chain(self, chain: &'static str) -> Self {
        Self { chain: Some(chain), ..self }
    }
}

const ALL_BUT_RTNEURAL: [To; 3] = [To::Onnx, To::Keras, To::Torch];

fn linear(random: &mut Seeded, inputs: usize, units: usize) -> Kind {
    random.dense(inputs, units, Activation::Linear)
}

/// Models of texts.
fn texts(random: &mut Seeded) -> Vec<Exported> {
    let pool = Kind::Pooling;
    let lstm = |random: &mut Seeded, inputs, units| Kind::Recurrent(random.recurrent(Cell::Lstm, inputs, units));
    let classify = |kinds| of_text(Task::Classify, kinds);
    let mut all = vec![
        exported(
            "text-lstm-last",
            classify(vec![random.embedding(4), lstm(random, 4, 5), pool(Pooling::Last), linear(random, 5, 1)]),
            &ALL_BUT_RTNEURAL,
        )
        .chain("embedding > lstm > last > dense"),
        exported(
            "text-two-lstm-attention",
            classify(vec![
                random.embedding(4),
                lstm(random, 4, 5),
                lstm(random, 5, 3),
                pool(Pooling::Attention),
                random.dense(3, 4, Activation::Tanh),
                linear(random, 4, 3),
            ]),
            &ALL_BUT_RTNEURAL,
        )
        .one_way(&[To::Onnx]),
        exported(
            "text-gru-mean",
            classify(vec![
                random.embedding(3),
                Kind::Recurrent(random.recurrent(GRU, 3, 4)),
                pool(Pooling::Mean),
                linear(random, 4, 3),
            ]),
            &ALL_BUT_RTNEURAL,
        )
        .chain("embedding > gru > mean > dense"),
        exported(
            "text-gru-before-max",
            classify(vec![
                random.embedding(3),
                Kind::Recurrent(random.recurrent(GRU_BEFORE, 3, 4)),
                pool(Pooling::Max),
                linear(random, 4, 1),
            ]),
            &[To::Onnx, To::Keras],
        ),
        exported(
            "text-rnn-tags",
            of_text(
                Task::Tag,
                vec![
                    random.embedding(3),
                    Kind::Recurrent(Recurrent { activation: Activation::Relu, ..random.recurrent(Cell::Rnn, 3, 4) }),
                    linear(random, 4, 3),
                ],
            ),
            &ALL_BUT_RTNEURAL,
        )
        .chain("embedding > rnn relu > dense"),
        exported(
            "text-bag",
            classify(vec![random.embedding(4), pool(Pooling::Mean), linear(random, 4, 1)]),
            &ALL_BUT_RTNEURAL,
        )
        .chain("embedding > mean > dense"),
    ];
    for (name, cell, merge, each_step, formats) in [
        ("text-both-lstm", Cell::Lstm, Merge::Concat, false, &ALL_BUT_RTNEURAL[..]),
        ("text-both-gru-steps", GRU, Merge::Concat, true, &ALL_BUT_RTNEURAL),
        ("text-both-rnn-sum", Cell::Rnn, Merge::Sum, false, &[To::Onnx, To::Keras]),
        ("text-both-lstm-product", Cell::Lstm, Merge::Product, true, &[To::Onnx, To::Keras]),
        ("text-both-gru-mean", GRU_BEFORE, Merge::Mean, true, &[To::Onnx, To::Keras]),
    ] {
        let forward = random.recurrent(cell, 3, 4);
        let backward = Recurrent { backwards: true, ..random.recurrent(cell, 3, 4) };
        let both = Bidirectional { forward, backward, merge, each_step };
        let features = both.features();
        let kinds = vec![random.embedding(3), Kind::Bidirectional(Box::new(both)), linear(random, features, 3)];
        all.push(exported(name, of_text(if each_step { Task::Tag } else { Task::Classify }, kinds), formats));
    }
    all
}

/// Models of samples that are layers alone.
fn bare(random: &mut Seeded) -> Vec<Exported> {
    let pool = Kind::Pooling;
    let regress = |kinds| of_samples(Task::RegressEach, kinds);
    let gru = |random: &mut Seeded, inputs, units| Kind::Recurrent(random.recurrent(GRU, inputs, units));
    vec![
        exported(
            "samples-conv-gru-last",
            of_samples(
                Task::Regress,
                vec![
                    random.conv1d(CHANNELS, 4, 3, 1, Padding::Causal),
                    gru(random, 4, 4),
                    pool(Pooling::Last),
                    linear(random, 4, 1),
                ],
            ),
            &ALL,
        )
        .chain("samples 3 > conv1d causal relu > gru > last > dense"),
        exported(
            "samples-stride-lstm",
            regress(vec![
                random.conv1d(CHANNELS, 4, 3, 2, Padding::Causal),
                Kind::Recurrent(random.recurrent(Cell::Lstm, 4, 4)),
                random.dense(4, 3, Activation::Sigmoid),
                linear(random, 3, 1),
            ]),
            &ALL,
        ),
        exported(
            "samples-window",
            regress(vec![random.conv1d(CHANNELS, 4, 3, 1, Padding::Valid), gru(random, 4, 3), linear(random, 3, 2)]),
            &ALL_BUT_RTNEURAL,
        ),
        exported(
            "samples-same",
            regress(vec![random.conv1d(CHANNELS, 4, 4, 1, Padding::Same), gru(random, 4, 3), linear(random, 3, 2)]),
            &ALL_BUT_RTNEURAL,
        ),
        exported(
            "samples-largest",
            of_samples(
                Task::Classify,
                vec![
                    random.conv1d(CHANNELS, 4, 3, 1, Padding::Valid),
                    Kind::MaxPool(MaxPool { frames: 2, stride: 2 }),
                    gru(random, 4, 3),
                    pool(Pooling::Last),
                    random.dense(3, 3, Activation::Softmax),
                ],
            ),
            &[To::Onnx, To::Keras],
        ),
        exported(
            "samples-normalized-layers",
            regress(vec![
                gru(random, CHANNELS, 4),
                Kind::LayerNorm(LayerNorm { scale: random.vector(4), shift: random.vector(4), epsilon: 1e-5 }),
                Kind::Activation(Activation::Tanh),
                linear(random, 4, 1),
            ]),
            &ALL_BUT_RTNEURAL,
        ),
        exported(
            "samples-activations",
            regress(vec![
                random.dense(CHANNELS, 4, Activation::HardSigmoidSixth),
                random.dense(4, 4, Activation::Relu),
                gru(random, 4, 3),
                linear(random, 3, 1),
            ]),
            &[To::Onnx, To::Keras],
        ),
        exported(
            "samples-more-activations",
            regress(vec![
                random.dense(CHANNELS, 4, Activation::LeakyRelu(0.2)),
                random.dense(4, 4, Activation::Elu(0.7)),
                random.dense(4, 4, Activation::HardSigmoidOf(0.3, 0.4)),
                random.dense(4, 4, Activation::ThresholdedRelu(0.5)),
                random.dense(4, 4, Activation::Softsign),
                random.dense(4, 4, Activation::Softplus),
                random.dense(4, 4, Activation::ScaledTanh(1.7, 0.6)),
                random.dense(4, 4, Activation::Affine(0.8, 0.1)),
                linear(random, 4, 1),
            ]),
            &[To::Onnx],
        ),
    ]
}

/// Recurrent layers with what only some models have.
fn variants(random: &mut Seeded) -> Vec<Exported> {
    let of = |random: &mut Seeded, recurrent: Recurrent| {
        let features = recurrent.features();
        of_samples(Task::RegressEach, vec![Kind::Recurrent(recurrent), linear(random, features, 1)])
    };
    let lstm = |random: &mut Seeded| random.recurrent(Cell::Lstm, CHANNELS, 4);
    let mut all = Vec::new();
    let mut add = |name, model, formats: &[To], one_way: &[To]| {
        all.push(exported(name, model, formats).one_way(one_way));
    };
    let peepholes = Recurrent { peepholes: Some(random.vector(12)), clip: Some(0.7), ..lstm(random) };
    add("lstm-peepholes-clip", of(random, peepholes), &[To::Onnx], &[]);
    let coupled = Recurrent { coupled: true, ..lstm(random) };
    add("lstm-coupled", of(random, coupled), &[To::Onnx], &[]);
    let states =
        Recurrent { initial_hidden: Some(random.vector(4)), initial_cell: Some(random.vector(4)), ..lstm(random) };
    add("lstm-states", of(random, states), &[To::Onnx], &[]);
    let hard = Recurrent { gate_activation: Activation::HardSigmoid, activation: Activation::Softsign, ..lstm(random) };
    add("lstm-hard", of(random, hard), &[To::Onnx], &[]);
    let cells = Recurrent { output_activation: Some(Activation::Relu), ..lstm(random) };
    add("lstm-cells", of(random, cells), &[To::Onnx], &[]);
    let sixth = Recurrent { gate_activation: Activation::HardSigmoidSixth, ..lstm(random) };
    add("lstm-hard-sixth", of(random, sixth), &[To::Onnx, To::Keras], &[]);
    let projected =
        Recurrent { recurrent_kernel: random.matrix(16, 2), projection: Some(random.matrix(2, 4)), ..lstm(random) };
    add("lstm-projected", of(random, projected), &[To::Torch], &[]);
    let back = Recurrent { backwards: true, aligned: true, ..random.recurrent(GRU, CHANNELS, 4) };
    add("gru-back-aligned", of(random, back), &[To::Onnx, To::Keras], &[]);
    let back = Recurrent { backwards: true, ..random.recurrent(GRU, CHANNELS, 4) };
    add("gru-back", of(random, back), &[To::Onnx, To::Keras], &[To::Onnx]);
    all
}

/// Models of samples with what stands around the layers.
fn around(random: &mut Seeded) -> Vec<Exported> {
    let normalization =
        || [(0.3, 1.7), (-0.2, 0.6), (1.1, 2.5)].map(|(mean, scale)| Normalization { mean, scale }).to_vec();
    let samples = |difference, bounds: Vec<f32>| {
        Input::Samples(Samples {
            channels: CHANNELS,
            normalization: normalization(),
            bounds,
            difference,
            ..Samples::default()
        })
    };
    let gru = |random: &mut Seeded, inputs| Kind::Recurrent(random.recurrent(GRU, inputs, 4));
    let pool = Kind::Pooling;
    let steps = |random: &mut Seeded| vec![gru(random, CHANNELS), linear(random, 4, 1)];
    let one = vec![gru(random, CHANNELS), pool(Pooling::Mean), linear(random, 4, 1)];
    let conv = vec![
        random.conv1d(CHANNELS, 4, 3, 2, Padding::Causal),
        gru(random, 4),
        pool(Pooling::Last),
        linear(random, 4, 3),
    ];
    let strided = vec![random.conv1d(CHANNELS, 4, 3, 2, Padding::Causal), gru(random, 4), linear(random, 4, 1)];
    let with = |model: Described, skip, input, output| Described { skip, gain: Gain { input, output }, ..model };
    let regress = Task::RegressEach;
    let plain = || Input::Samples(Samples { channels: CHANNELS, ..Samples::default() });
    vec![
        exported("scaled", model(samples(0, Vec::new()), regress, steps(random)), &ALL),
        exported("scaled-conv", model(samples(0, Vec::new()), Task::Classify, conv), &ALL),
        exported("bounded", model(samples(0, vec![0.5, 0.9, 0.4]), regress, steps(random)), &ALL_BUT_RTNEURAL),
        exported("differences", model(samples(2, vec![0.5, 0.9, 2.0]), Task::Regress, one), &ALL_BUT_RTNEURAL)
            .one_way(&[To::Onnx]),
        exported("gains", with(model(plain(), regress, steps(random)), None, 0.6, 1.9), &ALL),
        exported(
            "skip-gains",
            with(model(samples(0, Vec::new()), regress, steps(random)), Some(Skip::of(0)), 0.6, 1.9),
            &ALL,
        )
        .one_way(&[To::Onnx]),
        exported(
            "skip-second",
            with(model(plain(), regress, steps(random)), Some(Skip::of(1)), 1.0, 1.0),
            &ALL_BUT_RTNEURAL,
        )
        .one_way(&[To::Onnx]),
        exported(
            "skip-stride",
            with(model(plain(), regress, strided), Some(Skip { channel: 2, lag: 2 }), 1.0, 0.5),
            &ALL_BUT_RTNEURAL,
        )
        .one_way(&[To::Onnx]),
    ]
}

/// Every model.
pub(crate) fn models() -> Vec<Exported> {
    let mut random = Seeded(11);
    let mut all = texts(&mut random);
    all.extend(bare(&mut random));
    all.extend(variants(&mut random));
    all.extend(around(&mut random));
    all
}

/// A file for another framework, and what it must answer.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) file: String,
    /// The framework: `onnx`, `keras` or `torch`.
    pub(crate) kind: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// The program that loads the file; none of ONNX, which needs none.
    pub(crate) python: Option<String>,
    pub(crate) is_ids: bool,
    pub(crate) x: Vec<f64>,
    /// The answers in f64.
    pub(crate) y: Vec<f64>,
}

impl Case {
    /// As `cases.json` has it.
    pub(crate) fn json(&self) -> Value {
        let Case { name, file, kind, python, is_ids, x, y, .. } = self;
        json!({"name": name, "file": file, "kind": kind, "python": python, "ids": is_ids, "x": x, "y": y})
    }
}

/// The files of every model in every format that another framework runs.
pub(crate) fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for Exported { name, model, formats, .. } in models() {
        let is_ids = matches!(model.input, Input::Ids(_));
        let (x, y): (Vec<f64>, Vec<f64>) = if is_ids {
            (ids().into_iter().map(f64::from).collect(), reference::of_ids(&model, &ids()).answers)
        } else {
            (frames().into_iter().map(f64::from).collect(), reference::of_samples(&model, &frames()).answers)
        };
        let case = |kind, ending: &str, bytes, python: Option<String>| {
            let file = format!("{name}{ending}");
            let python = python.map(|python| python.replace("{file}", &file));
            Case { name, file, kind, bytes, python, is_ids, x: x.clone(), y: y.clone() }
        };
        for to in formats {
            let refused = |error| panic!("{name}: {error}");
            match to {
                To::Onnx => {
                    let bytes = writers::onnx::write(&model, VERSION, &[]).unwrap_or_else(refused);
                    all.push(case("onnx", ".onnx", bytes, None));
                }
                To::Keras => {
                    for (naming, ending) in [(Naming::Variables, ".weights.h5"), (Naming::Listed, ".h5")] {
                        let writers::keras::Written { bytes, python } =
                            writers::keras::write(&model, naming).unwrap_or_else(|error| panic!("{name}: {error}"));
                        all.push(case("keras", ending, bytes, Some(python)));
                    }
                }
                To::Torch => {
                    let writers::torch::Written { bytes, python } =
                        writers::torch::write(&model, VERSION).unwrap_or_else(|error| panic!("{name}: {error}"));
                    all.push(case("torch", ".safetensors", bytes, Some(python)));
                }
                // It has no program that runs a file.
                To::RtNeural => {}
            }
        }
    }
    all
}
