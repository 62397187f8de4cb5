//! A model as the `state_dict` of a module of PyTorch, in safetensors, and the lines of Python of that module.
//!
//! ```text
//! lstm_1.weight_ih_l0 [G·units, inputs]    lstm_1.weight_hh_l0 [G·units, units]    lstm_1.bias_ih_l0, lstm_1.bias_hh_l0 [G·units]    gates i, f, g, o; r, z, n
//! conv1d_0.weight [units, inputs, frames]  dense_2.weight [units, inputs]          ….bias [units]
//! ```
//!
//! A module has the name of its layer. The order of the modules and what stands between them is in the metadata, as a chain; so is what stands around the network. An
//! embedding, recurrent layers and a head, and nothing else, have the older form of [`mod@crate::file`].

use std::collections::BTreeSet;

use super::python::{Words, around, identifier, scaled};
use super::{beyond_plain, check_skip, refused, samples};
use crate::Error;
use crate::described::{
    Activation, Bidirectional, Cell, Conv1d, Described, Input, Kind, Layer, Merge, Padding, Pooling, Recurrent, Vector,
};
use crate::file::{Note, NotedSamples, Written as Tensor, serialized};
use crate::names::{Family, Layout};
use crate::pytorch::EPSILON;
use crate::writers::AS_ONNX;

const WORDS: Words = Words {
    tensor: "torch.tensor({})",
    joined: "torch.cat({}, 1)",
    held: "x = x.clamp(-torch.tensor({}), torch.tensor({}))",
};

/// The file of a model, and the module that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// A program in Python that makes `model` and loads the file, whose name `{file}` stands for.
    pub python: String,
}

/// Writes a model; `version` is that of the program that writes.
///
/// # Errors
/// Names the layer that no module of PyTorch is: masking, largest values over time, peepholes, clips, a GRU whose reset acts before the product, states to begin with.
pub fn write(model: &Described, version: &str) -> Result<Written, Error> {
    check_skip(model)?;
    let mut module = Module::default();
    for (layer, inputs) in model.fed() {
        module.add(layer, inputs)?;
    }
    let note = Note {
        version: Some(version.into()),
        layout: Some(Layout::PyTorch),
        chain: Some(module.chain.join(" > ")),
        samples: samples(model).map(|samples| NotedSamples::of(model, samples)),
        task: model.answer.task,
        classes: model.answer.classes.clone(),
        ..text_of(model)
    };
    let python = module.python(model);
    Ok(Written { bytes: serialized(module.tensors, &note)?, python })
}

/// What a note says of the text that a model reads.
fn text_of(model: &Described) -> Note {
    match &model.input {
        Input::Ids(text) => Note {
            unknown: text.unknown,
            vocabulary: text.vocabulary.clone(),
            tokens: text.tokens,
            characters: text.characters.clone(),
            ..Note::default()
        },
        Input::Samples(_) => Note::default(),
    }
}

/// A module while it is made.
#[derive(Default)]
struct Module {
    names: BTreeSet<String>,
    tensors: Vec<Tensor>,
    /// Parts of the chain.
    chain: Vec<String>,
    /// Lines of `__init__`.
    made: Vec<String>,
    /// Lines of `forward`.
    run: Vec<String>,
}

impl Module {
    /// A name of Python that no other module has.
    fn name(&mut self, layer: &Layer) -> String {
        let wanted = identifier(&layer.name);
        let mut name = wanted.clone();
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            number += 1;
            name = format!("{wanted}_{number}");
        }
        name
    }

    fn tensor(&mut self, name: String, shape: &[usize], values: Vec<f32>) {
        self.tensors.push((name, shape.to_vec(), values));
    }

    fn add(&mut self, layer: &Layer, inputs: usize) -> Result<(), Error> {
        match &layer.kind {
            Kind::Embedding(embedding) if embedding.mask_zero => Err(refused(
                layer,
                "its id 0 is padding, and a file of tensors does not say it",
                "train with ids from 0",
            )),
            Kind::Embedding(embedding) => {
                let (name, table) = (self.name(layer), &embedding.table);
                let (rows, columns) = (table.rows, table.columns);
                self.tensor(format!("{name}.weight"), &[rows, columns], table.values.clone());
                self.chain.push(format!("{name} embedding"));
                self.made.push(format!("self.{name} = nn.Embedding({rows}, {columns})"));
                self.run.push(format!("x = self.{name}(x)"));
                Ok(())
            }
            Kind::Recurrent(recurrent) => self.recurrent(layer, recurrent, inputs),
            Kind::Bidirectional(both) => self.directions(layer, both, inputs),
            Kind::Conv1d(conv1d) => self.conv1d(layer, conv1d, inputs),
            Kind::Dense(dense) => {
                let (name, units) = (self.name(layer), dense.kernel.rows);
                self.tensor(format!("{name}.weight"), &[units, inputs], dense.kernel.values.clone());
                self.tensor(format!("{name}.bias"), &[units], dense.bias.values.clone());
                self.made.push(format!("self.{name} = nn.Linear({inputs}, {units})"));
                self.run.push(format!("x = self.{name}(x)"));
                self.chain.push(name);
                self.activate(layer, dense.activation, true)
            }
            Kind::LayerNorm(norm) if norm.epsilon == EPSILON => {
                let name = self.name(layer);
                self.tensor(format!("{name}.weight"), &[inputs], norm.scale.values.clone());
                self.tensor(format!("{name}.bias"), &[inputs], norm.shift.values.clone());
                self.made.push(format!("self.{name} = nn.LayerNorm({inputs})"));
                self.run.push(format!("x = self.{name}(x)"));
                self.chain.push(name);
                Ok(())
            }
            Kind::LayerNorm(norm) => {
                let problem = format!("its epsilon is {}, and a file of tensors does not say it", norm.epsilon);
                Err(refused(layer, problem, "train with 1e-5, or export it as ONNX"))
            }
            Kind::Pooling(pooling) => {
                self.chain.push(pooling.name().to_owned());
                self.run.extend(pooling_lines(*pooling));
                Ok(())
            }
            Kind::Activation(activation) => self.activate(layer, *activation, false),
            Kind::MaxPool(_) | Kind::Masking(_) => {
                let problem = format!("it is {}, and a file of tensors says nothing of it", layer.kind.name());
                Err(refused(layer, problem, AS_ONNX))
            }
        }
    }

    /// What the sums of the module before go through, or an activation of its own.
    fn activate(&mut self, layer: &Layer, activation: Activation, folds: bool) -> Result<(), Error> {
        let line = match activation {
            Activation::Linear => return Ok(()),
            Activation::Relu => "x = torch.relu(x)",
            Activation::Tanh => "x = torch.tanh(x)",
            Activation::Sigmoid => "x = torch.sigmoid(x)",
            Activation::Softmax => "x = torch.softmax(x, -1)",
            other => {
                let problem = format!("its activation is {}, which a chain does not say", other.name());
                return Err(refused(layer, problem, AS_ONNX));
            }
        };
        self.run.push(line.to_owned());
        match self.chain.last_mut().filter(|_| folds) {
            Some(last) => last.extend([" ", activation.name()]),
            None => self.chain.push(activation.name().to_owned()),
        }
        Ok(())
    }

    fn conv1d(&mut self, layer: &Layer, conv1d: &Conv1d, inputs: usize) -> Result<(), Error> {
        let (name, units, frames) = (self.name(layer), conv1d.kernel.rows, conv1d.frames);
        // In the file units × inputs × frames; a description has the features of a frame side by side.
        let window = |row: &[f32]| -> Vec<f32> {
            (0..inputs * frames).map(|place| row[place % frames * inputs + place / frames]).collect()
        };
        let values = conv1d.kernel.values.chunks_exact((inputs * frames).max(1)).flat_map(window).collect();
        self.tensor(format!("{name}.weight"), &[units, inputs, frames], values);
        self.tensor(format!("{name}.bias"), &[units], conv1d.bias.values.clone());
        let stride = conv1d.stride;
        self.made.push(format!("self.{name} = nn.Conv1d({inputs}, {units}, {frames}, stride={stride})"));
        let (before, behind) = match conv1d.padding {
            Padding::Causal => (frames - 1, 0),
            Padding::Same => ((frames - 1) / 2, frames / 2),
            Padding::Valid => (0, 0),
        };
        self.run.push(format!("x = self.{name}(nn.functional.pad(x.mT, ({before}, {behind}))).mT"));
        self.chain.push(format!("{name} {} s{stride}", conv1d.padding.name()));
        self.activate(layer, conv1d.activation, true)
    }

    fn recurrent(&mut self, layer: &Layer, recurrent: &Recurrent, inputs: usize) -> Result<(), Error> {
        if recurrent.backwards {
            return Err(refused(layer, "it reads the steps back alone, which no module does", AS_ONNX));
        }
        let name = self.name(layer);
        self.direction(layer, &name, "", recurrent)?;
        self.made.push(format!("self.{name} = {}", made(recurrent, inputs, false)));
        self.run.push(format!("x = self.{name}(x)[0]"));
        self.chain.push(name);
        self.rectify(recurrent);
        Ok(())
    }

    /// Says that the sums of a simple layer go through relu.
    fn rectify(&mut self, recurrent: &Recurrent) {
        if let Some(last) = self.chain.last_mut().filter(|_| recurrent.activation == Activation::Relu) {
            *last += " relu";
        }
    }

    fn directions(&mut self, layer: &Layer, both: &Bidirectional, inputs: usize) -> Result<(), Error> {
        let Bidirectional { forward, backward, merge, each_step } = both;
        let form = |one: &Recurrent| (one.cell, one.units, one.activation, one.features());
        if *merge != Merge::Concat || form(forward) != form(backward) {
            let problem = "its directions are of different kinds, or not side by side";
            return Err(refused(layer, problem, AS_ONNX));
        }
        let name = self.name(layer);
        self.direction(layer, &name, "", forward)?;
        self.direction(layer, &name, "_reverse", backward)?;
        self.made.push(format!("self.{name} = {}", made(forward, inputs, true)));
        if *each_step {
            self.run.push(format!("x = self.{name}(x)[0]"));
        } else {
            let state = if forward.cell == Cell::Lstm { "[1][0]" } else { "[1]" };
            self.run.push(format!("h = self.{name}(x){state}"));
            self.run.push("x = torch.cat((h[-2], h[-1]), 1)".into());
        }
        self.chain.push(name);
        self.rectify(forward);
        if !each_step {
            self.chain.push(Pooling::Last.name().into());
        }
        Ok(())
    }

    /// The tensors of a direction.
    fn direction(&mut self, layer: &Layer, name: &str, suffix: &str, recurrent: &Recurrent) -> Result<(), Error> {
        if let Some(problem) = beyond_plain(recurrent, true) {
            return Err(refused(layer, format!("{problem}, which no module of PyTorch has"), AS_ONNX));
        }
        if recurrent.begins_elsewhere() {
            return Err(refused(
                layer,
                "it begins in a state of its own, and a state_dict has no place for it",
                AS_ONNX,
            ));
        }
        let family = match recurrent.cell {
            Cell::Lstm => Family::Lstm,
            Cell::Gru { reset_after: true } => Family::Gru,
            Cell::Gru { reset_after: false } => {
                let problem = "its reset acts before the product, which PyTorch's GRU cannot";
                return Err(refused(layer, problem, "train with the reset after the product, or export it as ONNX"));
            }
            Cell::Rnn => Family::Rnn,
        };
        let (layout, rows) = (Layout::PyTorch, recurrent.kernel.rows);
        for (part, kernel) in [("weight_ih", &recurrent.kernel), ("weight_hh", &recurrent.recurrent_kernel)] {
            self.tensor(format!("{name}.{part}_l0{suffix}"), &[rows, kernel.columns], layout.of_kernel(family, kernel));
        }
        let bias = |vector: Option<&Vector>| {
            let mut values = vector.map_or_else(|| vec![0.0; rows], |vector| vector.values.clone());
            layout.swap_gates(family, &mut values);
            values
        };
        self.tensor(format!("{name}.bias_ih_l0{suffix}"), &[rows], bias(Some(&recurrent.bias)));
        self.tensor(format!("{name}.bias_hh_l0{suffix}"), &[rows], bias(recurrent.recurrent_bias.as_ref()));
        if let Some(projection) = &recurrent.projection {
            let shape = [projection.rows, projection.columns];
            self.tensor(format!("{name}.weight_hr_l0{suffix}"), &shape, projection.values.clone());
        }
        Ok(())
    }

    /// The program.
    fn python(&self, model: &Described) -> String {
        let input = if samples(model).is_some() { "frames" } else { "ids" };
        let mut lines: Vec<String> = [
            "import torch",
            "from torch import nn",
            "from safetensors.torch import load_file",
            "",
            "",
            "class Net(nn.Module):",
            "    def __init__(self):",
            "        super().__init__()",
        ]
        .map(str::to_owned)
        .to_vec();
        let indented = |line: &String| format!("        {line}");
        lines.extend(self.made.iter().map(indented));
        lines.push(String::new());
        lines.push(format!("    def forward(self, {input}):"));
        let first = if samples(model).is_some() { scaled(model, &WORDS) } else { vec!["x = ids".into()] };
        lines.extend(first.iter().map(indented));
        lines.extend(self.run.iter().map(indented));
        lines.extend(around(model, &WORDS).iter().map(indented));
        lines.push("        return x".into());
        lines.extend(["", "", "model = Net()", "model.load_state_dict(load_file(\"{file}\"))"].map(str::to_owned));
        lines.join("\n") + "\n"
    }
}

/// How a recurrent module is made.
fn made(recurrent: &Recurrent, inputs: usize, both: bool) -> String {
    let kind = match recurrent.cell {
        Cell::Lstm => "LSTM",
        Cell::Gru { .. } => "GRU",
        Cell::Rnn => "RNN",
    };
    let mut text = format!("nn.{kind}({inputs}, {}, batch_first=True", recurrent.units);
    if both {
        text += ", bidirectional=True";
    }
    if recurrent.activation == Activation::Relu {
        text += ", nonlinearity=\"relu\"";
    }
    if let Some(projection) = &recurrent.projection {
        text += &format!(", proj_size={}", projection.rows);
    }
    text + ")"
}

fn pooling_lines(pooling: Pooling) -> Vec<String> {
    let lines: &[&str] = match pooling {
        Pooling::Last => &["x = x[:, -1]"],
        Pooling::Mean => &["x = x.mean(1)"],
        Pooling::Max => &["x = x.amax(1)"],
        Pooling::Attention => &["w = torch.exp(4.0 * x[:, :, :1].clamp(-1.0, 1.0))", "x = (w * x).sum(1) / w.sum(1)"],
    };
    lines.iter().map(|&line| line.to_owned()).collect()
}
