"""Makes keras_lstm.json and onnx_lstm.json: LSTMs with random weights, and what Keras and ONNX Runtime compute with them.

    python3 -m venv venv
    venv/bin/pip install keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
    venv/bin/python make_lstm.py

Each model is Embedding > LSTM, one or two > Dense. A file holds its weights in the framework's own layout, the ids it read,
and after every token the hidden state of every layer and the logits for four poolings of the last one (last, mean, max,
attention: the mean with weights of e^(4 h[0])).

    Keras          gates i, f, c, o    kernel inputs x 4 units, recurrent_kernel units x 4 units, bias 4 units
    ONNX           gates i, o, f, c    W 4 units x inputs, R 4 units x units, B 8 units: biases of W, then of R

Keras computes in float64, so that its numbers judge an LSTM in float64; ONNX Runtime has LSTMs in float32 only. All weights are
float32 values, written with as many digits as give the same value back.
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

POOLINGS = ["last", "mean", "max", "attention"]
FOLDER = pathlib.Path(__file__).parent

# name, vocabulary, width of the embedding, units of each layer, outputs, tokens, seed
SHAPES = [
    ("one_unit", 3, 1, [1], 1, 12, 1),
    ("narrow", 7, 3, [5], 1, 20, 2),
    ("wide", 11, 8, [16], 1, 20, 3),
    ("three_classes", 9, 5, [7], 3, 20, 4),
    ("two_layers", 10, 6, [9, 9], 1, 20, 5),
    ("two_layers_of_different_width", 8, 4, [12, 5], 2, 20, 6),
]


def random_weights(shape):
    """Weights in Keras's layout, as large as in trained networks; inputs and gates both reach their flat parts."""
    _, vocabulary, width, units, outputs, tokens, seed = shape
    rng = np.random.default_rng(seed)

    def uniform(*size, limit):
        return rng.uniform(-limit, limit, size).astype(np.float32)

    layers, inputs = [], width
    for count in units:
        limit = 2.0 * np.sqrt(3.0 / (inputs + count))
        bias = uniform(4 * count, limit=0.3)
        bias[count : 2 * count] += 1.0
        layers.append((uniform(inputs, 4 * count, limit=limit), uniform(count, 4 * count, limit=limit), bias))
        inputs = count
    return {
        "embedding": uniform(vocabulary, width, limit=1.0),
        "layers": layers,
        "head": uniform(inputs, outputs, limit=2.0),
        "head_bias": uniform(outputs, limit=0.5),
        "ids": rng.integers(0, vocabulary, tokens),
    }


def keras_run(weights):
    """Hidden states (layers x tokens x units) and logits (pooling x tokens x outputs), from Keras in float64."""
    keras.config.set_floatx("float64")
    vocabulary, width = weights["embedding"].shape
    ids = keras.Input((None,), dtype="int32")
    embedding = keras.layers.Embedding(vocabulary, width)
    hidden, layers = embedding(ids), []
    outputs = []
    for _, recurrent, _ in weights["layers"]:
        layer = keras.layers.LSTM(recurrent.shape[0], return_sequences=True)
        hidden = layer(hidden)
        layers.append(layer)
        outputs.append(hidden)
    head = keras.layers.Dense(weights["head"].shape[1])
    last = hidden[:, -1, :]
    mean = keras.layers.GlobalAveragePooling1D()(hidden)
    largest = keras.layers.GlobalMaxPooling1D()(hidden)
    weight = keras.ops.exp(4.0 * hidden[..., :1])
    attention = keras.ops.sum(weight * hidden, 1) / keras.ops.sum(weight, 1)
    model = keras.Model(ids, outputs + [head(last), head(mean), head(largest), head(attention)])
    embedding.set_weights([weights["embedding"]])
    for layer, (kernel, recurrent, bias) in zip(layers, weights["layers"]):
        layer.set_weights([kernel, recurrent, bias])
    head.set_weights([weights["head"], weights["head_bias"]])
    logits = {name: [] for name in POOLINGS}
    for length in range(1, len(weights["ids"]) + 1):
        values = model(weights["ids"][None, :length])
        hidden = values[: -len(POOLINGS)]
        for name, value in zip(POOLINGS, values[-len(POOLINGS) :]):
            logits[name].append(np.asarray(value)[0])
    return [np.asarray(layer)[0] for layer in hidden], {name: np.stack(value) for name, value in logits.items()}


def onnx_order(matrix, axis):
    """From Keras's gates i, f, c, o to ONNX's i, o, f, c."""
    i, f, c, o = np.split(matrix, 4, axis=axis)
    return np.concatenate([i, o, f, c], axis=axis)


def to_onnx(weights, rng):
    """The same weights in ONNX's layout, the bias divided between W's and R's at random."""
    layers = []
    for kernel, recurrent, bias in weights["layers"]:
        w = np.ascontiguousarray(onnx_order(kernel, 1).T)
        r = np.ascontiguousarray(onnx_order(recurrent, 1).T)
        bias = onnx_order(bias, 0)
        share = rng.uniform(-0.5, 0.5, bias.shape).astype(np.float32)
        layers.append((w, r, np.concatenate([bias - share, share])))
    return layers


def onnx_run(weights, layers):
    """As keras_run, from ONNX Runtime in float32. The head and the poolings are nodes of the graph, too."""
    nodes, constants, outputs = [], [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    # ids: tokens x 1 (batch). LSTM wants tokens x batch x features.
    nodes.append(helper.make_node("Gather", [constant("embedding", weights["embedding"]), "ids"], ["x0"]))
    for number, (w, r, b) in enumerate(layers):
        names = [constant(f"{name}{number}", value[None]) for name, value in [("W", w), ("R", r), ("B", b)]]
        nodes.append(helper.make_node("LSTM", [f"x{number}", *names], [f"y{number}"], hidden_size=r.shape[1]))
        # Y is tokens x directions x batch x units.
        nodes.append(helper.make_node("Squeeze", [f"y{number}", constant(f"axis{number}", np.array([1]))], [f"x{number + 1}"]))
        outputs.append(f"x{number + 1}")
    hidden = outputs[-1]
    nodes.append(helper.make_node("Gather", [hidden, constant("final", np.array(-1))], ["r_last"], axis=0))
    nodes.append(helper.make_node("ReduceMean", [hidden, constant("zero", np.array([0]))], ["r_mean"], keepdims=0))
    nodes.append(helper.make_node("ReduceMax", [hidden, "zero"], ["r_max"], keepdims=0))
    # The first unit of each step, tokens x batch x 1.
    nodes.append(helper.make_node("Gather", [hidden, constant("first", np.array([0]))], ["score"], axis=2))
    nodes.append(helper.make_node("Mul", ["score", constant("four", np.float32(4.0))], ["scaled"]))
    nodes.append(helper.make_node("Softmax", ["scaled"], ["shares"], axis=0))
    nodes.append(helper.make_node("Mul", ["shares", hidden], ["weighted"]))
    nodes.append(helper.make_node("ReduceSum", ["weighted", "zero"], ["r_attention"], keepdims=0))
    constant("head", weights["head"])
    constant("head_bias", weights["head_bias"])
    for name in POOLINGS:
        nodes.append(helper.make_node("Gemm", [f"r_{name}", "head", "head_bias"], [name]))
    graph = helper.make_graph(
        nodes,
        "lstm",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["tokens", 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in outputs]
        + [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 2) for name in POOLINGS],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    logits = {name: [] for name in POOLINGS}
    for length in range(1, len(weights["ids"]) + 1):
        values = session.run(None, {"ids": weights["ids"][:length, None]})
        hidden = values[: -len(POOLINGS)]
        for name, value in zip(POOLINGS, values[-len(POOLINGS) :]):
            logits[name].append(value[0])
    return [layer[:, 0, :] for layer in hidden], {name: np.stack(value) for name, value in logits.items()}


def numbers(array):
    """Nested lists whose decimals give the same values back, in the array's own precision."""
    array = np.asarray(array)
    if array.dtype.kind in "iu":
        return array.tolist()
    if array.ndim > 0:
        return [numbers(part) for part in array]
    return float(str(array[()]))


def write(name, models):
    text = ",\n".join(json.dumps(model, separators=(",", ":")) for model in models)
    (FOLDER / name).write_text(f"[\n{text}\n]\n")
    print(name, (FOLDER / name).stat().st_size, "bytes")


def main():
    keras_models, onnx_models = [], []
    for shape in SHAPES:
        weights = random_weights(shape)
        layers = to_onnx(weights, np.random.default_rng(100 + shape[-1]))
        keras_hidden, keras_logits = keras_run(weights)
        onnx_hidden, onnx_logits = onnx_run(weights, layers)
        pairs = list(zip(keras_hidden, onnx_hidden)) + [(keras_logits[name], onnx_logits[name]) for name in keras_logits]
        difference = max(np.abs(a - b).max() for a, b in pairs)
        print(f"{shape[0]}: the frameworks differ by {difference:.1e}")
        assert difference < 1e-5, "the two layouts do not hold the same weights"
        common = {"name": shape[0], "embedding": numbers(weights["embedding"]), "ids": numbers(weights["ids"])}
        head = {"head": numbers(weights["head"]), "head_bias": numbers(weights["head_bias"])}
        keras_models.append(
            common
            | {"layers": [dict(zip(["kernel", "recurrent_kernel", "bias"], map(numbers, layer))) for layer in weights["layers"]]}
            | head
            | {"hidden": [numbers(layer) for layer in keras_hidden]}
            | {"logits": {name: numbers(value) for name, value in keras_logits.items()}}
        )
        onnx_models.append(
            common
            | {"layers": [dict(zip("WRB", map(numbers, layer))) for layer in layers]}
            | head
            | {"hidden": [numbers(layer) for layer in onnx_hidden]}
            | {"logits": {name: numbers(value) for name, value in onnx_logits.items()}}
        )
    write("keras_lstm.json", keras_models)
    write("onnx_lstm.json", onnx_models)


if __name__ == "__main__":
    main()
