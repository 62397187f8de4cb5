use super::*;
use crate::Layout;
use crate::described::{Answer, Embedding, Format, Normalization, Pooling, Source, Text};

const LIMITS: Limits = Limits { rows: 10, width: 12, layers: 2 };

fn matrix(source: &str, rows: usize, columns: usize) -> Matrix {
    Matrix { source: source.into(), rows, columns, values: vec![0.5; rows * columns] }
}

fn vector(source: &str, length: usize) -> Vector {
    Vector { source: source.into(), values: vec![0.25; length] }
}

fn lstm(name: &str, units: usize, inputs: usize) -> Layer {
    let kernels = (matrix(&format!("{name}.W"), 4 * units, inputs), matrix(&format!("{name}.U"), 4 * units, units));
    let recurrent = Recurrent::new(Cell::Lstm, units, kernels, vector(&format!("{name}.b"), 4 * units));
    Layer { name: name.into(), kind: Kind::Recurrent(recurrent) }
}

fn dense(units: usize, inputs: usize, activation: Activation) -> Layer {
    let dense = Dense { kernel: matrix("dense.W", units, inputs), bias: vector("dense.b", units), activation };
    Layer { name: "dense".into(), kind: Kind::Dense(dense) }
}

fn conv1d(units: usize, inputs: usize) -> Layer {
    let (kernel, bias) = (matrix("conv.W", units, 2 * inputs), vector("conv.b", units));
    let activation = Activation::Relu;
    let conv1d = Conv1d { frames: 2, stride: 1, padding: Padding::Causal, activation, kernel, bias };
    Layer { name: "conv".into(), kind: Kind::Conv1d(conv1d) }
}

fn pooling() -> Layer {
    Layer { name: "pooling".into(), kind: Kind::Pooling(Pooling::Mean) }
}

/// Samples of two channels through these layers.
fn samples(layers: Vec<Layer>) -> Described {
    let names = vec!["input".into(), "condition 1".into()];
    let normalization = vec![Normalization { mean: 0.0, scale: 2.0 }; 2];
    Described {
        source: Source::of(Format::Safetensors(Layout::PyTorch)),
        input: Input::Samples(Samples {
            channels: 2,
            names,
            normalization,
            rate: Some(48_000.0),
            ..Samples::default()
        }),
        layers,
        skip: Some(Skip::of(1)),
        gain: Gain::default(),
        answer: Answer::default(),
    }
}

fn whole() -> Described {
    samples(vec![conv1d(3, 2), lstm("lstm", 4, 3), pooling(), dense(1, 4, Activation::Linear)])
}

fn ids() -> Described {
    let table = Embedding { table: matrix("table", 5, 3), mask_zero: false };
    let mut model = samples(vec![Layer { name: "embedding".into(), kind: Kind::Embedding(table) }, lstm("lstm", 4, 3)]);
    (model.input, model.skip) = (Input::Ids(Text::default()), None);
    model
}

#[test]
fn a_chain_whose_sizes_fit_is_taken_with_all_that_it_says() {
    for model in [whole(), ids(), samples(vec![lstm("lstm", 1, 2)])] {
        model.check("net", &LIMITS).unwrap();
    }
    assert_eq!((whole().outputs(), whole().weights(), whole().pooling()), (1, 15 + 128 + 5, Some(Pooling::Mean)));
    let mut model = whole();
    if let Kind::Recurrent(layer) = &mut model.layers[1].kind {
        layer.initial_hidden = Some(vector("h0", 4));
    }
    model.check("net", &LIMITS).unwrap();
    assert!(model.weights() == whole().weights() && model.recurrent().all(Recurrent::begins_elsewhere));
}

/// What a refusal says, and the change that it answers.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Described));

#[test]
fn what_does_not_fit_is_refused_with_the_tensor_what_is_declared_and_what_is_there() {
    let cases: [Case<'_>; 25] = [
        ("net: tensor lstm.W: its shape is [16, 3], but [20, 3] is declared", &|model| {
            edit(model, |layer| layer.units = 5);
        }),
        ("net: tensor lstm.U: its shape is [12, 4], but [16, 4] is declared", &|model| {
            edit(model, |layer| layer.recurrent_kernel = matrix("lstm.U", 12, 4));
        }),
        ("net: tensor lstm.b: its shape is [15], but [16] is declared", &|model| {
            edit(model, |layer| layer.bias = vector("lstm.b", 15));
        }),
        ("net: tensor h0: its shape is [3], but [4] is declared", &|model| {
            edit(model, |layer| layer.initial_hidden = Some(vector("h0", 3)));
        }),
        ("net: tensor lstm.W: a bias of the product with U belongs to a GRU", &|model| {
            edit(model, |layer| layer.recurrent_bias = Some(vector("b", 16)));
        }),
        ("net: tensor lstm.W: only an LSTM has a cell", &|model| {
            edit(model, |layer| {
                let kernels = (matrix("lstm.W", 4, 3), matrix("lstm.U", 4, 4));
                let rnn = Recurrent::new(Cell::Rnn, 4, kernels, vector("lstm.b", 4));
                *layer = Recurrent { initial_cell: Some(vector("c0", 4)), ..rnn };
            });
        }),
        ("net: tensor dense.W: its shape is [1, 3], but [1, 4] is declared", &|model| {
            model.layers[3] = dense(1, 3, Activation::Linear);
        }),
        ("net: tensor lstm.W: it has no unit", &|model| model.layers[1] = lstm("lstm", 0, 3)),
        ("net: tensor lstm.U: value 2 is NaN in f32", &|model| {
            edit(model, |layer| layer.recurrent_kernel.values[2] = f32::NAN);
        }),
        ("net: tensor lstm.b: value 1 is -inf in f32", &|model| {
            edit(model, |layer| layer.bias.values[1] = f32::NEG_INFINITY);
        }),
        ("net: layer lstm: it reads steps, and stands behind the pooling", &|model| model.layers.swap(1, 2)),
        ("net: layer pooling: the steps are pooled already", &|model| model.layers.insert(2, pooling())),
        ("net: layer embedding: an embedding reads ids", &|model| model.layers = ids().layers),
        ("net: it has no layer", &|model| model.layers.clear()),
        ("net: it has no embedding, and reads ids", &|model| {
            (model.input, model.skip) = (Input::Ids(Text::default()), None);
        }),
        ("net: layer lstm: only the last layer", &|model| {
            edit(model, |layer| layer.gate_activation = Activation::Softmax);
        }),
        ("net: layer dense: only the last layer", &|model| {
            model.layers.insert(3, dense(4, 4, Activation::Softmax));
        }),
        ("net: skip: it adds channel 2, counted from 0, of 2", &|model| model.skip = Some(Skip::of(2))),
        ("net: skip: it adds one channel to 2 outputs", &|model| model.layers[3] = dense(2, 4, Activation::Linear)),
        ("net: gain: it is 0", &|model| model.gain.output = 0.0),
        ("net: names of channels: there are 1, but 2 channels", &|model| {
            described(model, |samples| samples.names.truncate(1));
        }),
        ("net: normalization: a mean of 0 and a scale of 0 normalize nothing", &|model| {
            described(model, |samples| samples.normalization[1].scale = 0.0);
        }),
        ("net: sample rate: it is -1", &|model| described(model, |samples| samples.rate = Some(-1.0))),
        ("net: tensor lstm.U: 3 features and 10 units are together more than an image's 12", &|model| {
            model.layers[1] = lstm("lstm", 10, 3);
        }),
        ("net: tensor lstm.W: there are 3 layers, more than an image's 2", &|model| {
            model.layers = vec![lstm("a", 2, 2), lstm("b", 2, 2), lstm("lstm", 1, 2)];
        }),
    ];
    for (words, change) in cases {
        let mut model = whole();
        change(&mut model);
        let error = model.check("net", &LIMITS).expect_err(words).to_string();
        assert!(error.starts_with(words), "{words}: {error}");
    }
    let mut large = ids();
    large.layers[0].kind = Kind::Embedding(Embedding { table: matrix("table", 11, 3), mask_zero: false });
    let error = large.check("net", &LIMITS).unwrap_err().to_string();
    assert!(error.contains("tensor table: it has 11 rows, more than an image's 10"), "{error}");
}

fn edit(model: &mut Described, change: impl Fn(&mut Recurrent)) {
    model.layers.iter_mut().for_each(|layer| {
        if let Kind::Recurrent(layer) = &mut layer.kind {
            change(layer);
        }
    });
}

fn described(model: &mut Described, change: impl Fn(&mut Samples)) {
    if let Input::Samples(samples) = &mut model.input {
        change(samples);
    }
}

/// A model of samples with a layer of one of the kinds that only some formats have, before a dense layer of four inputs.
fn with(kind: Kind) -> Described {
    let below = dense(4, 2, Activation::Linear);
    samples(vec![below, Layer { name: "kind".into(), kind }, dense(1, 4, Activation::Linear)])
}

fn direction(name: &str, units: usize, backwards: bool) -> Recurrent {
    match lstm(name, units, 4).kind {
        Kind::Recurrent(layer) => Recurrent { backwards, ..layer },
        _ => unreachable!("it is an LSTM"),
    }
}

fn both(forward: Recurrent, backward: Recurrent, merge: Merge) -> Kind {
    Kind::Bidirectional(Box::new(Bidirectional { forward, backward, merge, each_step: true }))
}

fn norm(features: usize, epsilon: f32) -> Kind {
    Kind::LayerNorm(LayerNorm { scale: vector("gamma", 4), shift: vector("beta", features), epsilon })
}

#[test]
fn kinds_that_only_some_formats_have_are_held_to_their_sizes() {
    let concat = || both(direction("f", 2, false), direction("b", 2, true), Merge::Concat);
    for kind in [concat(), both(direction("f", 4, false), direction("b", 4, true), Merge::Product), norm(4, 0.001)] {
        with(kind).check("net", &LIMITS).unwrap();
    }
    for kind in
        [Kind::MaxPool(MaxPool { frames: 2, stride: 1 }), Kind::Masking(0.0), Kind::Activation(Activation::Relu)]
    {
        with(kind).check("net", &LIMITS).unwrap();
    }
    let same = |stride| {
        Kind::Conv1d(Conv1d {
            frames: 2,
            stride,
            padding: Padding::Same,
            activation: Activation::Linear,
            kernel: matrix("conv.W", 4, 8),
            bias: vector("conv.b", 4),
        })
    };
    with(same(1)).check("net", &LIMITS).unwrap();
    for (kind, words) in [
        (
            both(direction("f", 2, false), direction("b", 2, false), Merge::Concat),
            "net: tensor f.W: its directions are not one",
        ),
        (
            both(direction("f", 4, false), direction("b", 3, true), Merge::Sum),
            "net: tensor f.W: its directions have 4 and 3 features",
        ),
        (
            both(direction("f", 2, false), Recurrent { units: 3, ..direction("b", 2, true) }, Merge::Concat),
            "net: tensor b.W: its shape is [8, 4], but [12, 4] is declared",
        ),
        (norm(3, 0.001), "net: tensor beta: its shape is [3], but [4] is declared"),
        (norm(4, f32::NAN), "net: layer kind: its epsilon is NaN"),
        (Kind::MaxPool(MaxPool { frames: 0, stride: 1 }), "net: layer kind: its window or its stride has no step"),
        (Kind::Masking(f32::INFINITY), "net: layer kind: its value is inf"),
        (Kind::Activation(Activation::Softmax), "net: layer kind: only the last layer of a network can have a softmax"),
        (same(2), "net: tensor conv.W: the place of its window depends on the length"),
    ] {
        let error = with(kind).check("net", &LIMITS).expect_err(words).to_string();
        assert!(error.starts_with(words), "{words}: {error}");
    }
    // Without an output of each step nothing above reads steps.
    let mut ended = with(concat());
    if let Kind::Bidirectional(both) = &mut ended.layers[1].kind {
        both.each_step = false;
    }
    ended.check("net", &LIMITS).unwrap();
    ended.layers.insert(2, pooling());
    let error = ended.check("net", &LIMITS).unwrap_err().to_string();
    assert!(error.contains("layer pooling: the steps are pooled already"), "{error}");
}

#[test]
fn what_only_some_recurrent_layers_have_is_held_to_them() {
    let changed = |change: &dyn Fn(&mut Recurrent)| {
        let mut layer = direction("lstm", 4, false);
        change(&mut layer);
        with(Kind::Recurrent(layer))
    };
    for change in [
        &(|layer: &mut Recurrent| layer.peepholes = Some(vector("p", 12))) as &dyn Fn(&mut Recurrent),
        &|layer| (layer.clip, layer.coupled) = (Some(3.0), true),
        &|layer| layer.output_activation = Some(Activation::LeakyRelu(0.1)),
        &|layer| (layer.backwards, layer.aligned) = (true, true),
    ] {
        changed(change).check("net", &LIMITS).unwrap();
    }
    let rnn = |layer: &mut Recurrent| {
        (layer.cell, layer.kernel, layer.recurrent_kernel) = (Cell::Rnn, matrix("W", 4, 4), matrix("U", 4, 4));
        layer.bias = vector("b", 4);
    };
    for (words, change) in [
        (
            "net: tensor p: its shape is [8], but [12] is declared",
            &(|layer: &mut Recurrent| layer.peepholes = Some(vector("p", 8))) as &dyn Fn(&mut Recurrent),
        ),
        ("net: tensor lstm.W: its clip is -1", &|layer| layer.clip = Some(-1.0)),
        ("net: tensor lstm.W: its clip is NaN", &|layer| layer.clip = Some(f32::NAN)),
        ("net: tensor lstm.W: its outputs are brought back, and it reads forward", &|layer| layer.aligned = true),
        ("net: layer kind: a number of its elu is NaN", &|layer| layer.activation = Activation::Elu(f32::NAN)),
        ("net: layer kind: only the last layer of a network can have a softmax", &|layer| {
            layer.output_activation = Some(Activation::Softmax);
        }),
        ("net: tensor W: only an LSTM has coupled gates", &|layer| {
            rnn(layer);
            layer.coupled = true;
        }),
        ("net: tensor W: only an LSTM has peepholes", &|layer| {
            rnn(layer);
            layer.peepholes = Some(vector("p", 12));
        }),
    ] {
        let error = changed(change).check("net", &LIMITS).expect_err(words).to_string();
        assert!(error.starts_with(words), "{words}: {error}");
    }
}
