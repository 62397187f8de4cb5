use super::*;
use crate::described::Samples;

const LIMITS: Limits = Limits { rows: 1000, width: 64, layers: 4 };

fn values(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 7 + salt * 13) % 101) as f32 / 50.0 - 1.0).collect()
}

fn matrix(rows: usize, columns: usize, salt: usize) -> Matrix {
    Matrix { source: String::new(), rows, columns, values: values(rows * columns, salt) }
}

fn vector(count: usize, salt: usize) -> Vector {
    Vector { source: String::new(), values: values(count, salt) }
}

/// A cell, what a simple one's sums go through, and its units.
type Shape = (Cell, Activation, usize);

fn model(layout: Layout, shapes: &[Shape]) -> Described {
    let mut inputs = 3;
    let layer = |(number, &(cell, activation, units)): (usize, &Shape)| {
        let rows = cell.gates() * units;
        let recurrent_bias = (cell == Cell::Gru { reset_after: true }).then(|| vector(rows, 4));
        let kernels = (matrix(rows, inputs, 1), matrix(rows, units, 2));
        inputs = units;
        let recurrent = Recurrent::new(cell, units, kernels, vector(rows, 3));
        let kind = Kind::Recurrent(Recurrent { activation, recurrent_bias, ..recurrent });
        Layer { name: format!("{}.{number}", cell.name()), kind }
    };
    let recurrent: Vec<Layer> = shapes.iter().enumerate().map(layer).collect();
    let embedding = Embedding { table: matrix(5, 3, 0), mask_zero: false };
    let mut layers = vec![Layer { name: "embedding".into(), kind: Kind::Embedding(embedding) }];
    layers.extend(recurrent);
    layers.push(Layer { name: "pooling".into(), kind: Kind::Pooling(Pooling::Max) });
    let head = Dense { kernel: matrix(2, inputs, 5), bias: vector(2, 6), activation: Activation::Linear };
    layers.push(Layer { name: "head".into(), kind: Kind::Dense(head) });
    Described {
        source: Source { version: Some("1".into()), ..Source::of(Format::Safetensors(layout)) },
        input: Input::Ids(Text {
            vocabulary: Some(vec!["a".into(), "b".into()]),
            tokens: Some(Tokens::CharsCased),
            characters: Some(vec![7, 9, u32::MAX]),
            unknown: Some(Unknown::Row),
            cutting: None,
        }),
        layers,
        skip: None,
        gain: Gain::default(),
        answer: Answer { task: Some(Task::Tag), classes: Some(vec!["ham".into(), "spam".into()]) },
    }
}

/// The file of a model of such layers.
fn written(layout: Layout, shapes: &[Shape]) -> Vec<u8> {
    write(&model(layout, shapes), layout, "1").unwrap()
}

/// Without the names of tensors, which a description that no file gave has not.
fn nameless(mut model: Described) -> Described {
    for layer in &mut model.layers {
        match &mut layer.kind {
            Kind::Embedding(layer) => layer.table.source.clear(),
            Kind::Recurrent(layer) => {
                layer.kernel.source.clear();
                layer.recurrent_kernel.source.clear();
                layer.recurrent_bias.iter_mut().chain([&mut layer.bias]).for_each(|bias| bias.source.clear());
            }
            Kind::Dense(layer) => {
                layer.kernel.source.clear();
                layer.bias.source.clear();
            }
            _ => {}
        }
    }
    model
}

/// The tensors of a file and its note, to be changed.
type Pieces = (BTreeMap<String, (Vec<usize>, Vec<u8>)>, serde_json::Value);

fn pieces(bytes: &[u8]) -> Pieces {
    let (_, metadata) = SafeTensors::read_metadata(bytes).unwrap();
    let note = serde_json::from_str(&metadata.metadata().as_ref().unwrap()[KEY]).unwrap();
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors();
    let piece = |view: TensorView<'_>| (view.shape().to_vec(), view.data().to_vec());
    (tensors.into_iter().map(|(name, view)| (name, piece(view))).collect(), note)
}

fn bytes((tensors, note): &Pieces) -> Vec<u8> {
    let views =
        tensors.iter().map(|(name, (shape, bytes))| (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), note.to_string())]))).unwrap()
}

fn refused(pieces: &Pieces, words: &str) {
    let error = read(&bytes(pieces), "net", &LIMITS).expect_err(words).to_string();
    assert!(error.contains(words), "{error}");
}

const LSTM: Cell = Cell::Lstm;
const GRU: Cell = Cell::Gru { reset_after: true };
const RNN: Shape = (Cell::Rnn, Activation::Relu, 4);

/// A cell of so many units with the usual activations.
fn cell(cell: Cell, units: usize) -> Shape {
    (cell, Activation::Tanh, units)
}

#[test]
fn every_kind_of_layer_comes_back_to_the_bit() {
    let before = Cell::Gru { reset_after: false };
    for layout in Layout::ALL {
        for shapes in [
            &[cell(LSTM, 4)][..],
            &[cell(GRU, 4), cell(GRU, 4)],
            &[RNN, (Cell::Rnn, Activation::Relu, 2)],
            &[cell(LSTM, 4), cell(GRU, 5), cell(Cell::Rnn, 2)],
            &[cell(before, 3), cell(LSTM, 3)],
        ] {
            let model = model(layout, shapes);
            match write(&model, layout, "1") {
                Ok(written) => assert_eq!(nameless(read(&written, "net", &LIMITS).unwrap()), model),
                Err(error) => {
                    assert!(layout == Layout::PyTorch && shapes[0].0 == before, "{error}");
                    assert!(error.to_string().contains("PyTorch's GRU cannot"), "{error}");
                }
            }
        }
    }
}

#[test]
fn what_a_file_of_tensors_cannot_say_is_not_written() {
    let whole = || model(Layout::Keras, &[cell(LSTM, 4)]);
    let refuse = |model: &Described, words: &str| {
        let error = write(model, Layout::Keras, "1").expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    };
    let mut samples = whole();
    samples.input = Input::Samples(Samples { channels: 3, ..Samples::default() });
    refuse(&samples, "it reads samples");
    let mut loud = whole();
    loud.gain.output = 2.0;
    refuse(&loud, "gain");
    let changed = |change: &dyn Fn(&mut Recurrent)| {
        let mut model = whole();
        model.layers.iter_mut().for_each(|layer| {
            if let Kind::Recurrent(layer) = &mut layer.kind {
                change(layer);
            }
        });
        model
    };
    refuse(&changed(&|layer| layer.gate_activation = Activation::HardSigmoid), "tanh and sigmoid");
    refuse(&changed(&|layer| layer.peepholes = Some(vector(12, 1))), "no peepholes");
    refuse(&changed(&|layer| layer.clip = Some(3.0)), "no clip");
    refuse(&changed(&|layer| layer.coupled = true), "no coupled gates");
    refuse(&changed(&|layer| layer.output_activation = Some(Activation::Relu)), "tanh and sigmoid");
    refuse(&changed(&|layer| layer.initial_cell = Some(vector(4, 1))), "no state to begin with");
    let mut deep = whole();
    deep.layers.push(deep.layers.last().unwrap().clone());
    refuse(&deep, "one dense layer, the last");
    let both = [RNN, (Cell::Rnn, Activation::Tanh, 4)];
    refuse(&model(Layout::Keras, &both), "with tanh and with relu");
}

#[test]
fn the_tensors_of_a_gru_have_the_frameworks_names_shapes_and_gates() {
    let torch = model(Layout::PyTorch, &[cell(GRU, 4)]);
    let (tensors, note) = pieces(&write(&torch, Layout::PyTorch, "1").unwrap());
    assert_eq!(tensors["gru.weight_ih_l0"].0, [12, 3]);
    assert_eq!(tensors["gru.weight_hh_l0"].0, [12, 4]);
    assert_eq!((&tensors["gru.bias_hh_l0"].0, &note["gates"]), (&vec![12], &"r,z,n".into()));
    // PyTorch's first block is r, which is the second here.
    let bias = &torch.recurrent().next().unwrap().bias.values;
    assert_eq!(tensors["gru.bias_ih_l0"].1[..4], bias[4].to_le_bytes());
    let (tensors, note) = pieces(&written(Layout::Keras, &[cell(GRU, 4)]));
    assert_eq!(tensors["gru.0.kernel"].0, [3, 12]);
    assert_eq!((&tensors["gru.0.bias"].0, &note["gates"]), (&vec![2, 12], &"z,r,h".into()));
    let (tensors, note) = pieces(&written(Layout::PyTorch, &[RNN]));
    assert_eq!((&tensors["rnn.weight_hh_l0"].0, &note["activation"]), (&vec![4, 4], &"relu".into()));
}

#[test]
fn a_layer_that_is_missing_between_two_others_is_named() {
    let (mut tensors, mut note) = pieces(&written(Layout::PyTorch, &[cell(GRU, 4); 3]));
    tensors.retain(|name, _| !name.ends_with("_l1"));
    note["layers"] = serde_json::Value::Null;
    refused(&(tensors, note), "tensor gru.weight_ih_l1: it is missing: there is a layer 2, but no layer 1");
}

#[test]
fn layers_of_unequal_size_are_read_and_a_wrong_shape_is_not() {
    let written = written(Layout::Keras, &[cell(LSTM, 4), cell(LSTM, 6)]);
    let read_back = read(&written, "net", &LIMITS).unwrap();
    assert_eq!(read_back.recurrent().map(|layer| layer.units).collect::<Vec<_>>(), [4, 6]);
    let mut pieces = pieces(&written);
    pieces.0.insert("lstm.1.kernel".into(), (vec![5, 24], vec![0; 480]));
    refused(&pieces, "tensor lstm.1.kernel: its shape is [5, 24], but [4, 24] fits the other tensors");
}

#[test]
fn metadata_may_have_spaces_between_gates_and_no_entry_that_nobody_knows() {
    let (tensors, mut note) = pieces(&written(Layout::PyTorch, &[cell(LSTM, 4); 2]));
    note["gates"] = "i, f,  g, o".into();
    note["units"] = serde_json::json!([4, 4]);
    assert!(read(&bytes(&(tensors.clone(), note.clone())), "net", &LIMITS).is_ok());
    note["gates"] = "i, f, o, g".into();
    refused(&(tensors.clone(), note.clone()), "the gates are in the order \"i,f,o,g\", but pytorch is \"i,f,g,o\"");
    note["gates"] = serde_json::Value::Null;
    note["units"] = serde_json::json!([4, 5]);
    refused(&(tensors.clone(), note.clone()), "metadata latch.units: it says [4, 5], but the tensors have 4");
    note["units"] = serde_json::Value::Null;
    note["activation"] = "softmax".into();
    refused(&(tensors.clone(), note.clone()), "metadata latch.activation: it says softmax");
    note["activation"] = serde_json::Value::Null;
    note["readuot"] = "mean".into();
    refused(&(tensors, note), "unknown field `readuot`");
}

#[test]
fn two_kinds_of_one_number_are_refused_and_so_is_what_is_beyond_the_limits() {
    let whole = pieces(&written(Layout::Keras, &[cell(LSTM, 4); 2]));
    let mut mixed = whole.clone();
    mixed.0.insert("gru.1.kernel".into(), (vec![4, 12], vec![0; 192]));
    refused(&mixed, "layer 1 is of more than one kind: lstm and gru");
    for (limits, words) in [
        (Limits { rows: 4, ..LIMITS }, "tensor embedding.embeddings: it has 5 rows, more than an image's 4"),
        (Limits { layers: 1, ..LIMITS }, "tensor lstm.1.kernel: there are 2 layers, more than an image's 1"),
        (Limits { width: 7, ..LIMITS }, "tensor lstm.1.recurrent_kernel: 4 features and 4 units are together more"),
    ] {
        let error = read(&bytes(&whole), "net", &limits).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_kind_of_token_is_one_that_is_known_and_a_character_table_ascends() {
    let (tensors, mut note) = pieces(&written(Layout::Keras, &[cell(GRU, 4)]));
    assert_eq!((&note["tokens"], &note["characters"]), (&"chars-cased".into(), &serde_json::json!([7, 9, u32::MAX])));
    note["characters"] = serde_json::json!([9, 9]);
    refused(&(tensors.clone(), note.clone()), "metadata latch.characters: the entries of the character table are not");
    note["characters"] = serde_json::Value::Null;
    note["tokens"] = "letters".into();
    refused(&(tensors, note), "unknown variant `letters`");
}
