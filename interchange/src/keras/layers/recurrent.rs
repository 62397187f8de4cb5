//! Recurrent layers, in one direction and in both.
//!
//! Keras 2 and 3 keep W as inputs × gates·units, U as units × gates·units and b as gates·units, the gates in the order of a description: i, f, c, o and z, r, h. A
//! GRU that resets after the product has b as 2 × gates·units. The CuDNN layers keep each gate's block as cuDNN reads it, and two biases one behind the
//! other. Keras 1 keeps W, U and b of each gate by itself, those of an LSTM in the order i, c, f, o.

use serde_json::{Value, json};

use super::{Builder, ONE_NETWORK, Steps};
use crate::Error;
use crate::described::{Activation, Bidirectional, Cell, Kind, Matrix, Merge, Pooling, Recurrent, Vector};
use crate::keras::entry::{Entry, Era};
use crate::keras::h5::Stored;

/// The place of each of a description's gates among those of an LSTM of Keras 1.
const OLD_LSTM: [usize; 4] = [0, 2, 1, 3];

/// What the layer around a cell says of it.
const FLAGS: [&str; 5] = ["return_sequences", "go_backwards", "zero_output_for_mask", "time_major", "stateful"];

/// The layer that a cell makes.
fn class_of(cell: &Entry, entry: &Entry) -> Result<&'static str, Error> {
    match cell.class.as_str() {
        "LSTMCell" => Ok("LSTM"),
        "GRUCell" => Ok("GRU"),
        "SimpleRNNCell" => Ok("SimpleRNN"),
        other => {
            let problem = format!("its class is {other:?}, which is not read");
            Err(entry.refuse("cell", problem, "use LSTM, GRU or SimpleRNN layers"))
        }
    }
}

impl Builder<'_> {
    pub(super) fn recurrent(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        let tensors = self.tensors(owner)?;
        self.of_tensors(entry, &tensors, owner)
    }

    /// A recurrent layer whose tensors these are.
    fn of_tensors(&mut self, entry: &Entry, tensors: &[Stored], owner: &Entry) -> Result<(), Error> {
        let steps = self.steps_of(entry)?;
        entry.only("zero_output_for_mask", &Value::Bool(false), "train without zero_output_for_mask")?;
        let backwards = entry.flag("go_backwards", false)?;
        let mut layer = self.direction(entry, tensors, owner)?;
        layer.backwards = backwards;
        if let Some(affine) = self.pending.take() {
            affine.of.fold(&mut layer.kernel, &mut layer.bias);
        }
        let units = layer.units;
        self.push(&entry.name, Kind::Recurrent(layer), units);
        if entry.flag("return_sequences", false)? {
            return Ok(());
        }
        // A model that is called step by step has an answer of each.
        if !(self.declared.stepped && steps == Some(1)) {
            self.push(&entry.name, Kind::Pooling(Pooling::Last), units);
        }
        self.steps = Steps::One;
        Ok(())
    }

    /// A layer that is made of a cell, or of several, one above the other.
    pub(super) fn of_cell(&mut self, entry: &Entry, owner: &Entry) -> Result<(), Error> {
        let Some(cell) = entry.wrapped("cell")? else {
            return Err(entry.refuse("cell", "it is missing", "save the model again"));
        };
        if cell.class == "StackedRNNCells" {
            return self.of_cells(entry, &cell, owner);
        }
        let class = class_of(&cell, entry)?;
        self.recurrent(&cell.like(class, entry, &FLAGS), owner)
    }

    /// Cells one above the other: layers that each give all steps to the next. The first may read the steps back; then the others have them in that order.
    fn of_cells(&mut self, entry: &Entry, stack: &Entry, owner: &Entry) -> Result<(), Error> {
        let missing = || entry.refuse("cell", "it has no cells", "save the model again");
        let cells = stack.listed("cells")?.filter(|cells| !cells.is_empty()).ok_or_else(missing)?;
        let classes: Vec<&str> = cells.iter().map(|cell| cell.class.as_str()).collect();
        let tensors = self.weights.of_cells(owner, &self.declared.all, &classes)?;
        let mut rest = tensors.as_slice();
        for (number, cell) in cells.iter().enumerate() {
            let count = if cell.flag("use_bias", true)? { 3 } else { 2 };
            let Some((own, behind)) = rest.split_at_checked(count) else {
                let problem =
                    format!("it has {} tensors, which are too few for its {} cells", tensors.len(), cells.len());
                return Err(owner.refuse("", problem, ONE_NETWORK));
            };
            rest = behind;
            let (is_first, is_last) = (number == 0, number + 1 == cells.len());
            let mut layer = cell.like(class_of(cell, entry)?, entry, &FLAGS);
            if !is_last {
                layer = layer.saying("return_sequences", true);
            }
            if !is_first {
                layer = layer.saying("go_backwards", false);
            }
            self.of_tensors(&layer, own, owner)?;
        }
        if rest.is_empty() {
            return Ok(());
        }
        let problem = format!("it has {} tensors, but its cells have {} less", tensors.len(), rest.len());
        Err(owner.refuse("", problem, ONE_NETWORK))
    }

    pub(super) fn bidirectional(&mut self, entry: &Entry) -> Result<(), Error> {
        self.steps_of(entry)?;
        let missing = || entry.refuse("layer", "it is missing", "save the model again");
        let forward = entry.wrapped("layer")?.ok_or_else(missing)?;
        let backward = entry.wrapped("backward_layer")?.unwrap_or_else(|| forward.clone());
        if forward.is_true("go_backwards") {
            return Err(entry.refuse(
                "layer",
                "its first direction goes back itself",
                "build it of a layer that goes forward",
            ));
        }
        let merge = match entry.text("merge_mode") {
            Some("concat") => Merge::Concat,
            Some("sum") => Merge::Sum,
            Some("mul") => Merge::Product,
            Some("ave") => Merge::Mean,
            other => {
                let problem = format!("it is {}, which makes no one output", other.unwrap_or("null"));
                return Err(entry.refuse("merge_mode", problem, "use concat, sum, mul or ave"));
            }
        };
        let each_step = forward.flag("return_sequences", false)?;
        let mut tensors = self.tensors(entry)?;
        if tensors.len() % 2 == 1 {
            let problem = format!("it has {} tensors, and two directions have as many each", tensors.len());
            return Err(entry.refuse("", problem, ONE_NETWORK));
        }
        let second = tensors.split_off(tensors.len() / 2);
        let mut forward = self.direction(&forward, &tensors, entry)?;
        let mut backward = self.direction(&backward, &second, entry)?;
        backward.backwards = true;
        if let Some(affine) = self.pending.take() {
            affine.of.fold(&mut forward.kernel, &mut forward.bias);
            affine.of.fold(&mut backward.kernel, &mut backward.bias);
        }
        let both = Bidirectional { forward, backward, merge, each_step };
        let features = both.features();
        if !each_step {
            self.steps = Steps::One;
        }
        self.push(&entry.name, Kind::Bidirectional(Box::new(both)), features);
        Ok(())
    }

    /// One direction, whose tensors these are.
    fn direction(&mut self, entry: &Entry, tensors: &[Stored], owner: &Entry) -> Result<Recurrent, Error> {
        let units = entry.size("units")?;
        entry.only("time_major", &Value::Bool(false), "train without time_major")?;
        let use_bias = entry.flag("use_bias", true)?;
        let is_of_gates = |shape: &[usize]| match shape {
            [2, _] => true,
            &[length] => length == units.saturating_mul(6),
            _ => false,
        };
        let cell = match entry.class.as_str() {
            "LSTM" | "CuDNNLSTM" => Cell::Lstm,
            "CuDNNGRU" => Cell::Gru { reset_after: true },
            "GRU" => {
                // Weights alone say it by their bias.
                let said = tensors.get(2).is_some_and(|bias| is_of_gates(&bias.shape));
                Cell::Gru { reset_after: entry.flag("reset_after", said)? }
            }
            "SimpleRNN" => Cell::Rnn,
            other => {
                let problem = format!("its class is {other:?}, which is not read in both directions");
                return Err(owner.refuse("layer", problem, "use LSTM, GRU or SimpleRNN"));
            }
        };
        let gates = cell.gates();
        let count = match (entry.era, use_bias) {
            (Era::One, true) if gates > 1 && tensors.len() == 3 * gates => 3 * gates,
            (_, true) => 3,
            (_, false) => 2,
        };
        if tensors.len() != count {
            let problem = format!("it has {} tensors, but its configuration declares {count}", tensors.len());
            return Err(owner.refuse("", problem, ONE_NETWORK));
        }
        let inputs = self.inputs(&tensors[0], 0);
        let layer = if count > 3 {
            self.of_gates(cell, units, inputs, tensors)?
        } else {
            self.of_blocks(cell, units, inputs, tensors)?
        };
        let gate = match entry.era {
            Era::One => Activation::HardSigmoid,
            Era::Two | Era::Three => Activation::Sigmoid,
        };
        let gate_activation = match cell {
            Cell::Rnn => Activation::Sigmoid,
            _ => entry.activation("recurrent_activation", gate)?,
        };
        Ok(Recurrent { activation: entry.activation("activation", Activation::Tanh)?, gate_activation, ..layer })
    }

    /// Tensors of all gates together.
    fn of_blocks(&self, cell: Cell, units: usize, inputs: usize, tensors: &[Stored]) -> Result<Recurrent, Error> {
        let rows = cell.gates().saturating_mul(units);
        let bias = tensors.get(2);
        let is_cudnn = cell != Cell::Rnn && bias.is_some_and(|bias| bias.shape == [rows.saturating_mul(2)]);
        let kernels = if is_cudnn {
            (self.cudnn(&tensors[0], inputs, units, rows)?, self.cudnn(&tensors[1], units, units, rows)?)
        } else {
            (self.kernel(&tensors[0], inputs, rows)?, self.kernel(&tensors[1], units, rows)?)
        };
        let resets_after = cell == Cell::Gru { reset_after: true };
        let (bias, recurrent_bias) = match bias {
            Some(bias) if is_cudnn || resets_after => {
                if !is_cudnn {
                    self.expect(bias, &[2, rows])?;
                }
                let source = bias.name.clone();
                let mut values = self.weights.h5.values(bias)?;
                let second = values.split_off(rows);
                if resets_after {
                    (Vector { source: source.clone(), values }, Some(Vector { source, values: second }))
                } else {
                    // Both are added.
                    let values = values.iter().zip(&second).map(|(a, b)| a + b).collect();
                    (Vector { source, values }, None)
                }
            }
            bias => (
                self.bias(bias, rows)?,
                resets_after.then(|| Vector { source: String::new(), values: vec![0.0; rows] }),
            ),
        };
        Ok(Recurrent { recurrent_bias, ..Recurrent::new(cell, units, kernels, bias) })
    }

    /// A kernel of cuDNN: the columns of a gate, read one row after the other, are its matrix outputs × inputs.
    fn cudnn(&self, tensor: &Stored, inputs: usize, units: usize, rows: usize) -> Result<Matrix, Error> {
        self.expect(tensor, &[inputs, rows])?;
        let file = self.weights.h5.values(tensor)?;
        let mut values = Vec::with_capacity(file.len());
        for gate in 0..rows / units.max(1) {
            for row in file.chunks_exact(rows.max(1)) {
                values.extend_from_slice(&row[gate * units..(gate + 1) * units]);
            }
        }
        Ok(Matrix { source: tensor.name.clone(), rows, columns: inputs, values })
    }

    /// Tensors of each gate by itself.
    fn of_gates(&self, cell: Cell, units: usize, inputs: usize, tensors: &[Stored]) -> Result<Recurrent, Error> {
        let order: Vec<usize> = if cell == Cell::Lstm { OLD_LSTM.to_vec() } else { (0..cell.gates()).collect() };
        let first = |place: usize| tensors[3 * order[0] + place].name.clone();
        let rows = order.len() * units;
        let mut kernel = Matrix { source: first(0), rows, columns: inputs, values: Vec::new() };
        let mut recurrent_kernel = Matrix { source: first(1), rows, columns: units, values: Vec::new() };
        let mut bias = Vector { source: first(2), values: Vec::new() };
        for gate in order {
            let [w, u, b] = &tensors[3 * gate..3 * gate + 3] else { continue };
            kernel.values.extend(self.kernel(w, inputs, units)?.values);
            recurrent_kernel.values.extend(self.kernel(u, units, units)?.values);
            bias.values.extend(self.vector(b, units)?.values);
        }
        Ok(Recurrent::new(cell, units, (kernel, recurrent_kernel), bias))
    }
}

impl Entry {
    /// This cell as the layer of another class that an entry wraps around it.
    fn like(&self, class: &str, around: &Entry, flags: &[&str]) -> Self {
        let mut config = self.values();
        for flag in flags {
            if let Some(value) = around.get(flag) {
                config.insert((*flag).to_owned(), value.clone());
            }
        }
        self.with(class, json!(config))
    }

    /// The same with a key that is true or false.
    fn saying(&self, key: &str, value: bool) -> Self {
        let mut config = self.values();
        config.insert(key.to_owned(), Value::Bool(value));
        self.with(&self.class, json!(config))
    }
}
