//! Each operator of TensorFlow Lite said in operators of ONNX, which know what becomes of axes and where a chain goes on.
//!
//! What differs: convolutions and poolings have the features last, weights of convolutions are [units, rows, columns, inputs], activations are fused, and what
//! ONNX has as attributes are options or inputs. The options are those of the schema, by the numbers of their fields.

use super::call::Call;
use super::recurrent;
use super::words::AGAIN;
use crate::Error;
use crate::onnx::node::{Given, OTHERWISE};
use crate::onnx::proto::Attribute;
use crate::onnx::shapes::all_reversed;
use crate::onnx::tensor::Const;
use crate::onnx::value::{Flow, Ints, Role, Value};

/// An attribute that is an integer.
pub(crate) fn int(name: &str, value: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(value), ..Attribute::default() }
}

fn ints(name: &str, values: Vec<i64>) -> Attribute {
    Attribute { name: name.to_owned(), ints: values, ..Attribute::default() }
}

fn float(name: &str, value: f32) -> Attribute {
    Attribute { name: name.to_owned(), f: Some(value), ..Attribute::default() }
}

/// What an operator gives.
pub(crate) fn read(call: &Call<'_>) -> Given {
    if let Some(given) = recurrent::read(call) {
        return given;
    }
    if let Some(given) = of_axes(call) {
        return given;
    }
    match &*call.shown {
        "FULLY_CONNECTED" => fully_connected(call),
        "BATCH_MATMUL" => batch_matmul(call),
        "ADD" => of_two(call, "Add"),
        "SUB" => of_two(call, "Sub"),
        "MUL" => of_two(call, "Mul"),
        "DIV" => of_two(call, "Div"),
        "NEG" => plain(call, "Neg"),
        "RELU" => activated(call, plain(call, "Identity"), 1),
        "RELU_N1_TO_1" => activated(call, plain(call, "Identity"), 2),
        "RELU6" => activated(call, plain(call, "Identity"), 3),
        "TANH" => activated(call, plain(call, "Identity"), 4),
        "LOGISTIC" => plain(call, "Sigmoid"),
        "ELU" => plain(call, "Elu"),
        "LEAKY_RELU" => {
            let alpha = call.option(0.0, |options| options.f32(0, 0.0))?;
            call.step("LeakyRelu", vec![Some(call.needed(0)?)], vec![float("alpha", alpha)])
        }
        "SOFTMAX" => softmax(call),
        "CONV_2D" => conv(call),
        "MAX_POOL_2D" => max_pool(call),
        "PAD" | "PADV2" => pad(call),
        "MEAN" => reduced(call, "ReduceMean"),
        "REDUCE_MAX" => reduced(call, "ReduceMax"),
        "SUM" => reduced(call, "ReduceSum"),
        "REDUCE_PROD" => reduced(call, "ReduceProd"),
        // Tensors bring their scales with them, and data flow as what they are worth.
        "QUANTIZE" | "DEQUANTIZE" | "FAKE_QUANT" => plain(call, "Identity"),
        "EMBEDDING_LOOKUP" => {
            call.step("Gather", vec![Some(call.needed(1)?), Some(call.needed(0)?)], vec![int("axis", 0)])
        }
        other => call.refuse(format!("its operator {other:?} is not read"), OTHERWISE),
    }
}

/// The operators that move and choose axes.
fn of_axes(call: &Call<'_>) -> Option<Given> {
    Some(match &*call.shown {
        "RESHAPE" => reshape(call),
        "SQUEEZE" => squeeze(call),
        "EXPAND_DIMS" => with_ints(call, "Unsqueeze", "axes"),
        "TRANSPOSE" => with_ints(call, "Transpose", "perm"),
        "STRIDED_SLICE" => strided_slice(call),
        "SLICE" => slice(call),
        "GATHER" => gather(call),
        "CONCATENATION" => concatenation(call),
        "PACK" => pack(call),
        "UNPACK" => unpack(call),
        "SPLIT" => split(call),
        "REVERSE_V2" => reverse(call),
        "REVERSE_SEQUENCE" => reverse_sequence(call),
        "SHAPE" => plain(call, "Shape"),
        "CAST" => cast(call),
        "FILL" => fill(call),
        "ZEROS_LIKE" => Ok(vec![Some(Value::Filled(0.0))]),
        _ => return None,
    })
}

/// The operator of ONNX that reads the first input alone.
fn plain(call: &Call<'_>, kind: &str) -> Given {
    call.step(kind, vec![Some(call.needed(0)?)], Vec::new())
}

/// The operator of ONNX that has as an attribute what is the second input here.
fn with_ints(call: &Call<'_>, kind: &str, name: &str) -> Given {
    let values = call.ints(1)?;
    call.step(kind, vec![Some(call.needed(0)?)], vec![ints(name, values)])
}

/// The only thing that was given.
fn first(call: &Call<'_>, given: Given) -> Result<Value, Error> {
    given?.into_iter().next().flatten().ok_or_else(|| call.error("it gives nothing", AGAIN))
}

fn number(value: f32) -> Option<Value> {
    Some(Value::Const(Const::floats("", &[], &[value])))
}

/// With the activation of this number in the schema.
///
/// ```text
/// RELU_N1_TO_1   2·clamp(x/2 + 1/2, 0, 1) - 1        RELU6   6·clamp(x/6, 0, 1)
/// ```
fn activated(call: &Call<'_>, given: Given, number_of: u8) -> Given {
    let value = Some(first(call, given)?);
    let hard =
        |value, alpha, beta| call.step("HardSigmoid", vec![value], vec![float("alpha", alpha), float("beta", beta)]);
    match number_of {
        0 => Ok(vec![value]),
        1 => call.step("Relu", vec![value], Vec::new()),
        2 => {
            let held = Some(first(call, hard(value, 0.5, 0.5))?);
            let twice = Some(first(call, call.step("Mul", vec![held, number(2.0)], Vec::new()))?);
            call.step("Sub", vec![twice, number(1.0)], Vec::new())
        }
        3 => {
            let held = Some(first(call, hard(value, 1.0 / 6.0, 0.0))?);
            call.step("Mul", vec![held, number(6.0)], Vec::new())
        }
        4 => call.step("Tanh", vec![value], Vec::new()),
        other => call.refuse(format!("its fused activation {other} is not read"), "train with relu or tanh"),
    }
}

/// Data with their axes, or nothing of another value.
fn flow(value: &Value) -> Option<&Flow> {
    match value {
        Value::Flow(flow) => Some(flow),
        _ => None,
    }
}

fn fully_connected(call: &Call<'_>) -> Given {
    let (activation, format, keeps) =
        call.option((0, 0, false), |options| Some((options.u8(0, 0)?, options.u8(1, 0)?, options.bool(2, false)?)))?;
    if format != 0 {
        return call.refuse("its weights are shuffled", "convert the model for a processor, with plain weights");
    }
    let (mut data, weights) = (call.needed(0)?, call.needed(1)?);
    let rank = flow(&data).map_or(2, |flow| flow.axes.len());
    if rank > 2 && !keeps {
        let inputs = match &weights {
            Value::Const(weights) => weights.dims().last().copied().unwrap_or(0),
            _ => 0,
        };
        let shape = Value::Ints(Ints { values: vec![Some(-1), Some(inputs as i64)], is_scalar: false });
        data = first(call, call.step("Reshape", vec![Some(data), Some(shape)], Vec::new()))?;
    }
    let mut inputs = vec![Some(data), Some(weights)];
    inputs.extend(call.inputs.get(2).cloned());
    activated(call, call.step("Gemm", inputs, vec![int("transB", 1)]), activation)
}

fn batch_matmul(call: &Call<'_>) -> Given {
    let (left, right) =
        call.option((false, false), |options| Some((options.bool(0, false)?, options.bool(1, false)?)))?;
    if left {
        return call.refuse("its data are transposed", OTHERWISE);
    }
    let mut weights = call.needed(1)?;
    if let (true, Value::Const(tensor)) = (right, &weights) {
        let count = tensor.dims().len();
        let mut order: Vec<usize> = (0..count).collect();
        if count > 1 {
            order.swap(count - 2, count - 1);
        }
        weights = tensor.transposed(&order).map_or(weights, Value::Const);
    }
    call.step("MatMul", vec![Some(call.needed(0)?), Some(weights)], Vec::new())
}

fn of_two(call: &Call<'_>, kind: &str) -> Given {
    let activation = call.option(0, |options| options.u8(0, 0))?;
    activated(call, call.step(kind, vec![Some(call.needed(0)?), Some(call.needed(1)?)], Vec::new()), activation)
}

/// softmax(β·x)
fn softmax(call: &Call<'_>) -> Given {
    let beta = call.option(1.0, |options| options.f32(0, 0.0))?;
    let mut data = Some(call.needed(0)?);
    if beta != 1.0 {
        data = Some(first(call, call.step("Mul", vec![data, number(beta)], Vec::new()))?);
    }
    call.step("Softmax", vec![data], vec![int("axis", -1)])
}

/// Data [sequences, a, b, features] as [sequences, features, a, b], and whether a or b has one place.
fn features_second(call: &Call<'_>) -> Result<(Value, [bool; 2]), Error> {
    let data = call.needed(0)?;
    let ones = match flow(&data).map(|flow| flow.axes.as_slice()) {
        Some(&[_, a, b, _]) => [a, b].map(|axis| axis.role == Role::One || axis.is_one()),
        _ => return call.refuse("it reads other data than [sequences, rows, columns, features]", OTHERWISE),
    };
    let data = first(call, call.step("Transpose", vec![Some(data)], vec![ints("perm", vec![0, 3, 1, 2])]))?;
    Ok((data, ones))
}

/// With the features last again.
fn features_last(call: &Call<'_>, given: Given) -> Given {
    let data = Some(first(call, given)?);
    call.step("Transpose", vec![data], vec![ints("perm", vec![0, 2, 3, 1])])
}

/// The padding of this number in the schema.
fn auto_pad(call: &Call<'_>, padding: u8) -> Result<Attribute, Error> {
    let name = match padding {
        0 => "SAME_UPPER",
        1 => "VALID",
        other => return call.refuse(format!("its padding is {other}"), AGAIN),
    };
    Ok(Attribute { name: "auto_pad".to_owned(), s: Some(name.into()), ..Attribute::default() })
}

/// Strides, of which those along an axis of one place say nothing.
fn strides(sizes: [i32; 2], ones: [bool; 2]) -> Attribute {
    ints("strides", sizes.iter().zip(ones).map(|(size, one)| if one { 1 } else { i64::from(*size) }).collect())
}

fn conv(call: &Call<'_>) -> Given {
    let (padding, (width, height), activation, dilations) = call.option((0, (1, 1), 0, [1, 1]), |options| {
        let strides = (options.i32(1, 0)?, options.i32(2, 0)?);
        Some((options.u8(0, 0)?, strides, options.u8(3, 0)?, [options.i32(5, 1)?, options.i32(4, 1)?]))
    })?;
    let (data, ones) = features_second(call)?;
    let mut kernel = call.needed(1)?;
    if let Value::Const(tensor) = &kernel {
        let Some(turned) = tensor.transposed(&[0, 3, 1, 2]) else {
            return call.refuse(format!("the shape of its weights is {:?}", tensor.dims()), AGAIN);
        };
        kernel = Value::Const(turned);
    }
    let dilations = ints("dilations", dilations.iter().map(|size| i64::from(*size)).collect());
    let attributes = vec![auto_pad(call, padding)?, strides([height, width], ones), dilations];
    let mut inputs = vec![Some(data), Some(kernel)];
    inputs.extend(call.inputs.get(2).cloned());
    activated(call, features_last(call, call.step("Conv", inputs, attributes)), activation)
}

fn max_pool(call: &Call<'_>) -> Given {
    let (padding, strides_of, frames, activation) = call.option((0, [1, 1], [1, 1], 0), |options| {
        let strides = [options.i32(2, 0)?, options.i32(1, 0)?];
        Some((options.u8(0, 0)?, strides, [options.i32(4, 0)?, options.i32(3, 0)?], options.u8(5, 0)?))
    })?;
    let (data, ones) = features_second(call)?;
    let frames = ints("kernel_shape", frames.iter().map(|size| i64::from(*size)).collect());
    let attributes = vec![auto_pad(call, padding)?, strides(strides_of, ones), frames];
    activated(call, features_last(call, call.step("MaxPool", vec![Some(data)], attributes)), activation)
}

/// Zeros before and behind, as [axes, 2]; those of ONNX before all axes, and then behind all.
fn pad(call: &Call<'_>) -> Given {
    let pads = match call.needed(1)? {
        Value::Const(tensor) if !tensor.is_float() && tensor.dims().len() == 2 => tensor.ints(),
        _ => None,
    };
    let Some(pads) = pads else { return call.refuse("its pads are computed", "convert the model with fixed shapes") };
    let of = |side: usize| pads.iter().skip(side).step_by(2).copied();
    let pads = ints("pads", of(0).chain(of(1)).collect());
    let mut inputs = vec![Some(call.needed(0)?)];
    if let Some(value) = call.inputs.get(2).cloned().flatten() {
        inputs.extend([None, Some(value)]);
    }
    call.step("Pad", inputs, vec![pads])
}

fn reduced(call: &Call<'_>, kind: &str) -> Given {
    let keeps = call.option(false, |options| options.bool(0, false))?;
    let attributes = vec![ints("axes", call.ints(1)?), int("keepdims", keeps.into())];
    call.step(kind, vec![Some(call.needed(0)?)], attributes)
}

fn reshape(call: &Call<'_>) -> Given {
    let shape = match call.inputs.get(1).cloned().flatten() {
        Some(shape) => shape,
        None => {
            let values = call.option(None, |options| {
                let shape = options.vector::<4>(0)?;
                Some(Some((0..shape.len().min(9)).map(|place| shape.i32(place).map(i64::from)).collect()))
            })?;
            let Some(values) = values else { return call.refuse("its shape is missing", AGAIN) };
            Value::Ints(Ints { values, is_scalar: false })
        }
    };
    let mut data = call.needed(0)?;
    // Zeros that wait for a convolution are steps of the shape.
    let pads = flow(&data).map_or(0, |flow| flow.pads.0.saturating_add(flow.pads.1));
    resized(&mut data, |size| size.saturating_add(pads));
    let mut given = call.step("Reshape", vec![Some(data), Some(shape)], vec![int("allowzero", 1)])?;
    given.iter_mut().flatten().for_each(|value| resized(value, |size| size.saturating_sub(pads)));
    Ok(given)
}

/// Gives the axis of steps of data another size.
fn resized(value: &mut Value, size: impl Fn(usize) -> usize) {
    if let Value::Flow(flow) = value
        && let Some(axis) = flow.axis(Role::Step)
    {
        flow.axes[axis].size = flow.axes[axis].size.map(size);
    }
}

fn squeeze(call: &Call<'_>) -> Given {
    let axes: Option<Vec<i64>> = call.option(Some(Vec::new()), |options| {
        let axes = options.vector::<4>(0)?;
        Some((0..axes.len().min(9)).map(|place| axes.i32(place).map(i64::from)).collect())
    })?;
    let axes = axes.unwrap_or_default();
    // Without axes, all that have one place.
    let attributes = if axes.is_empty() { Vec::new() } else { vec![ints("axes", axes)] };
    call.step("Squeeze", vec![Some(call.needed(0)?)], attributes)
}

/// Places from one to another of some axes; an axis that shrinks is gone.
fn strided_slice(call: &Call<'_>) -> Given {
    let masks = call.option([0; 5], |options| {
        Some([options.i32(0, 0)?, options.i32(1, 0)?, options.i32(2, 0)?, options.i32(3, 0)?, options.i32(4, 0)?])
    })?;
    let [begin_mask, end_mask, ellipsis, new, shrink] = masks;
    if ellipsis != 0 || new != 0 {
        return call.refuse("it has an ellipsis or new axes", "convert the model with plain slices");
    }
    let (begin, end, by) = (call.ints(1)?, call.ints(2)?, call.ints(3)?);
    if begin.len() != end.len() || begin.len() != by.len() || begin.len() > 8 {
        return call.refuse("its begin, end and strides are not as many", AGAIN);
    }
    let has = |mask: i32, axis: usize| mask >> axis & 1 == 1;
    let each = |axis: usize| {
        let shrinks = has(shrink, axis);
        // The last place has no place behind it that has a number.
        let behind = |begin: i64| if begin == -1 { i64::MAX } else { begin.saturating_add(1) };
        match (shrinks, by[axis] < 0) {
            (true, _) => (begin[axis], behind(begin[axis]), 1),
            (false, false) => {
                let first = if has(begin_mask, axis) { 0 } else { begin[axis] };
                (first, if has(end_mask, axis) { i64::MAX } else { end[axis] }, by[axis])
            }
            (false, true) => {
                let first = if has(begin_mask, axis) { i64::MAX } else { begin[axis] };
                (first, if has(end_mask, axis) { i64::MIN } else { end[axis] }, by[axis])
            }
        }
    };
    let slices: Vec<(i64, i64, i64)> = (0..begin.len()).map(each).collect();
    let attributes = vec![
        ints("starts", slices.iter().map(|slice| slice.0).collect()),
        ints("ends", slices.iter().map(|slice| slice.1).collect()),
        ints("axes", (0..slices.len() as i64).collect()),
        ints("steps", slices.iter().map(|slice| slice.2).collect()),
    ];
    let shrinking: Vec<i64> = (0..begin.len()).filter(|&axis| has(shrink, axis)).map(|axis| axis as i64).collect();
    let sliced = call.step("Slice", vec![Some(call.needed(0)?)], attributes);
    if shrinking.is_empty() {
        return sliced;
    }
    let sliced = Some(first(call, sliced)?);
    call.step("Squeeze", vec![sliced], vec![ints("axes", shrinking)])
}

/// Places of all axes from a beginning, so many; -1 is all that are left.
fn slice(call: &Call<'_>) -> Given {
    let (begin, sizes) = (call.ints(1)?, call.ints(2)?);
    let end = |(begin, size): (&i64, &i64)| if *size == -1 { i64::MAX } else { begin.saturating_add(*size) };
    let ends = begin.iter().zip(&sizes).map(end).collect();
    let axes = (0..begin.len() as i64).collect();
    let attributes = vec![ints("starts", begin), ints("ends", ends), ints("axes", axes)];
    call.step("Slice", vec![Some(call.needed(0)?)], attributes)
}

fn gather(call: &Call<'_>) -> Given {
    let (axis, batch) = call.option((0, 0), |options| Some((options.i32(0, 0)?, options.i32(1, 0)?)))?;
    if batch != 0 {
        return call.refuse("it gathers within batches", OTHERWISE);
    }
    call.step("Gather", vec![Some(call.needed(0)?), Some(call.needed(1)?)], vec![int("axis", axis.into())])
}

fn concatenation(call: &Call<'_>) -> Given {
    let (axis, activation) = call.option((0, 0), |options| Some((options.i32(0, 0)?, options.u8(1, 0)?)))?;
    activated(call, call.step("Concat", call.inputs.clone(), vec![int("axis", axis.into())]), activation)
}

/// Values one beside the other along a new axis: sizes of a shape.
fn pack(call: &Call<'_>) -> Given {
    let axis = call.option(0, |options| options.i32(1, 0))?;
    let mut parts = Vec::new();
    for number in 0..call.inputs.len() {
        let part = Some(call.needed(number)?);
        parts.push(Some(first(call, call.step("Unsqueeze", vec![part], vec![ints("axes", vec![axis.into()])]))?));
    }
    call.step("Concat", parts, vec![int("axis", axis.into())])
}

fn unpack(call: &Call<'_>) -> Given {
    let axis = call.option(0, |options| options.i32(1, 0))?;
    if call.outputs != 1 {
        return call.refuse("it takes the places of an axis apart", "convert a model whose recurrence is not unrolled");
    }
    call.step("Squeeze", vec![Some(call.needed(0)?)], vec![ints("axes", vec![axis.into()])])
}

fn split(call: &Call<'_>) -> Given {
    let axis = call.ints(0)?;
    let &[axis] = axis.as_slice() else { return call.refuse("its axis is none", AGAIN) };
    call.step("Split", vec![Some(call.needed(1)?)], vec![int("axis", axis)])
}

/// All places of an axis from the last to the first.
fn reverse(call: &Call<'_>) -> Given {
    let axes = call.ints(1)?;
    let message = call.message("ReverseSequence", Vec::new());
    let node = call.node(&message, call.inputs.clone());
    let flow = node.settled(0)?;
    let &[axis] = axes.as_slice() else { return call.refuse("it turns several axes", "turn the steps alone") };
    let axis = node.axis(axis, flow.axes.len())?;
    all_reversed(&node, flow, axis)
}

fn reverse_sequence(call: &Call<'_>) -> Given {
    let (time, batch) = call.option((0, 0), |options| Some((options.i32(0, 0)?, options.i32(1, 0)?)))?;
    let attributes = vec![int("time_axis", time.into()), int("batch_axis", batch.into())];
    call.step("ReverseSequence", call.inputs.clone(), attributes)
}

/// The type of what it gives, by its number in ONNX.
fn cast(call: &Call<'_>) -> Given {
    let to = match call.kind {
        0 => 1,
        1 => 10,
        10 => 11,
        2 => 6,
        4 => 7,
        6 => 9,
        3 => 2,
        9 => 3,
        7 => 5,
        _ => 0,
    };
    call.step("Cast", vec![Some(call.needed(0)?)], vec![int("to", to)])
}

/// One number in every place.
fn fill(call: &Call<'_>) -> Given {
    match call.needed(1)? {
        Value::Const(tensor) if tensor.len() == 1 => {
            let value = tensor.few().and_then(|values| values.first().copied()).unwrap_or(0.0);
            Ok(vec![Some(Value::Filled(value as f32))])
        }
        filled @ Value::Filled(_) => Ok(vec![Some(filled)]),
        other => call.refuse(format!("it fills a shape with {}", other.what()), OTHERWISE),
    }
}
