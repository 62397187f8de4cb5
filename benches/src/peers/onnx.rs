//! Writes an LSTM cell as an ONNX model: one operator `LSTM` over a sequence of one step.
//!
//! ```text
//! x [1, 1, I], h [1, 1, H], c [1, 1, H]  ->  LSTM  ->  h_next [1, 1, H], c_next [1, 1, H]
//! ```
//!
//! An ONNX file is a protocol buffer: a sequence of fields, each a key `number << 3 | kind` and a value. Only two kinds occur here,
//! integers of variable length (kind 0) and byte strings with their length (kind 2), the latter also for messages inside messages.

use super::cell::{Cell, Shape};

/// The version of the operator set; `LSTM` is the same since 14.
const OPERATORS: u64 = 14;

/// The version of the format that goes with [`OPERATORS`].
const FORMAT: u64 = 7;

/// The type `FLOAT` of a tensor.
const FLOAT: u64 = 1;

/// The names of the model's inputs.
pub const INPUTS: [&str; 3] = ["x", "h", "c"];

/// The names of the model's outputs.
pub const OUTPUTS: [&str; 2] = ["h_next", "c_next"];

/// ONNX wants the gates in the order i, o, f, c (the cell candidate, our g).
const GATES: [usize; 4] = [0, 3, 1, 2];

/// The model's bytes, of an LSTM.
pub fn model(cell: &Cell) -> Vec<u8> {
    let Shape { inputs, units } = cell.shape;
    // B is [Wb; Rb], and one bias is enough.
    let mut bias = Cell::gates(GATES, &cell.bias);
    bias.resize(8 * units, 0.0);
    let mut graph = Message::default();
    graph.message(1, &node(units));
    graph.text(2, "step");
    for (name, shape, values) in [
        ("W", vec![1, 4 * units, inputs], Cell::gates(GATES, &cell.kernel)),
        ("R", vec![1, 4 * units, units], Cell::gates(GATES, &cell.recurrent_kernel)),
        ("B", vec![1, 8 * units], bias),
    ] {
        graph.message(5, &tensor(name, &shape, &values));
    }
    let [x, h, c] = INPUTS;
    for (name, width) in [(x, inputs), (h, units), (c, units)] {
        graph.message(11, &value(name, width));
    }
    for name in OUTPUTS {
        graph.message(12, &value(name, units));
    }
    let mut operators = Message::default();
    operators.integer(2, OPERATORS);
    let mut model = Message::default();
    model.integer(1, FORMAT);
    model.text(2, "latch-benches");
    model.message(7, &graph);
    model.message(8, &operators);
    model.0
}

/// The operator. Its first output, the sequence, is left out by an empty name, as is the input with the sequences' lengths.
fn node(units: usize) -> Message {
    let [x, h, c] = INPUTS;
    let [h_next, c_next] = OUTPUTS;
    let mut node = Message::default();
    for name in [x, "W", "R", "B", "", h, c] {
        node.text(1, name);
    }
    for name in ["", h_next, c_next] {
        node.text(2, name);
    }
    node.text(3, "lstm");
    node.text(4, "LSTM");
    let mut attribute = Message::default();
    attribute.text(1, "hidden_size");
    attribute.integer(3, units as u64);
    attribute.integer(20, 2); // the kind of attribute: an integer
    node.message(5, &attribute);
    node
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> Message {
    let mut tensor = Message::default();
    for &size in shape {
        tensor.integer(1, size as u64);
    }
    tensor.integer(2, FLOAT);
    tensor.text(8, name);
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.bytes(9, &bytes);
    tensor
}

/// A named input or output of `[1, 1, width]`.
fn value(name: &str, width: usize) -> Message {
    let mut shape = Message::default();
    for size in [1, 1, width] {
        let mut dimension = Message::default();
        dimension.integer(1, size as u64);
        shape.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.integer(1, FLOAT);
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, &kind);
    value
}

/// A message of a protocol buffer, as its bytes.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    /// Seven bits a byte, the low ones first; the high bit says that more follow.
    fn variable(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.variable(field << 3);
        self.variable(value);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.variable(field << 3 | 2);
        self.variable(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.bytes(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::cell::Kind;
    use crate::peers::cell::tests::cell;

    #[test]
    fn integers_have_seven_bits_a_byte() {
        let mut message = Message::default();
        message.integer(1, 300);
        message.integer(20, 2);
        message.text(2, "ab");
        assert_eq!(message.0, [0x08, 0xAC, 0x02, 0xA0, 0x01, 0x02, 0x12, 0x02, b'a', b'b']);
    }

    /// The fields of a message: number, and bytes or the integer's bytes.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn variable(bytes: &mut &[u8]) -> u64 {
            let mut value = 0;
            for shift in (0..).step_by(7) {
                let (&byte, rest) = bytes.split_first().expect("an integer goes on");
                *bytes = rest;
                value |= u64::from(byte & 0x7F) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            value
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = variable(&mut bytes);
            let content = match key & 7 {
                0 => variable(&mut bytes).to_le_bytes().to_vec(),
                2 => {
                    let length = variable(&mut bytes) as usize;
                    let (content, rest) = bytes.split_at(length);
                    bytes = rest;
                    content.to_vec()
                }
                kind => panic!("no field here is of the kind {kind}"),
            };
            fields.push((key >> 3, content));
        }
        fields
    }

    #[test]
    fn the_weights_lie_in_the_model_with_their_gates_in_onnxs_order() {
        let cell = cell(Kind::Lstm, 1, 2);
        let model = fields(&model(&cell));
        let graph = &model.iter().find(|(field, _)| *field == 7).expect("the model has a graph").1;
        let tensors: Vec<_> = fields(graph).into_iter().filter(|(field, _)| *field == 5).collect();
        assert_eq!(tensors.len(), 3);
        let kernel: Vec<f32> = fields(&tensors[0].1)
            .iter()
            .filter(|(field, _)| *field == 9)
            .flat_map(|(_, bytes)| bytes.as_chunks::<4>().0.to_vec())
            .map(f32::from_le_bytes)
            .collect();
        let k = &cell.kernel;
        assert_eq!(kernel, [k[0], k[1], k[6], k[7], k[2], k[3], k[4], k[5]]);
    }
}
