"""Makes gru_rnn.json: GRUs and simple RNNs with random weights, and what Keras and ONNX Runtime compute with them.

    python3 -m venv venv
    venv/bin/pip install keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
    venv/bin/python make_gru_rnn.py

Each model is an embedding and a stack of layers of one kind. The file holds the weights in Keras's layout, the ids that were read, the hidden
states of every layer after every token, and the states of ONNX Runtime where it differs from Keras by rounding only.

    Keras GRU, reset_after=True     gates z, r, h     kernel inputs x 3 units, recurrent_kernel units x 3 units, bias 2 x 3 units
    Keras GRU, reset_after=False    the same, bias 3 units
    Keras SimpleRNN                 kernel inputs x units, recurrent_kernel units x units, bias units
    ONNX GRU                        gates z, r, h     W 3 units x inputs, R 3 units x units, B 6 units; linear_before_reset 1 or 0
    ONNX RNN                        W units x inputs, R units x units, B 2 units; activations Tanh or Relu

Keras computes in float64, ONNX Runtime in float32. All weights are float32 values, written with as many digits as give the same value back.
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

FOLDER = pathlib.Path(__file__).parent

# name, kind, option, vocabulary, width of the embedding, units of each layer, tokens, seed
SHAPES = [
    ("gru of one unit", "gru", "reset_after", 3, 1, [1], 12, 1),
    ("gru", "gru", "reset_after", 7, 3, [5], 16, 2),
    ("two grus", "gru", "reset_after", 9, 4, [7, 3], 16, 3),
    ("gru, reset before, of one unit", "gru", "reset_before", 3, 1, [1], 12, 4),
    ("gru, reset before", "gru", "reset_before", 7, 3, [6], 16, 5),
    ("two grus, reset before", "gru", "reset_before", 9, 4, [3, 7], 16, 6),
    ("rnn", "rnn", "tanh", 7, 3, [5], 16, 7),
    ("two rnns", "rnn", "tanh", 9, 4, [7, 3], 16, 8),
    ("rnn with relu", "rnn", "relu", 7, 3, [5], 16, 9),
    ("two rnns with relu", "rnn", "relu", 9, 4, [3, 7], 16, 10),
]


def random_weights(shape):
    _, kind, option, vocabulary, width, units, tokens, seed = shape
    rng = np.random.default_rng(seed)

    def uniform(*size, limit):
        return rng.uniform(-limit, limit, size).astype(np.float32)

    gates = 3 if kind == "gru" else 1
    layers, inputs = [], width
    for count in units:
        # Relu has no end: its states must not grow from step to step.
        limit = (0.8 if option == "relu" else 2.0) * np.sqrt(3.0 / (inputs + count))
        bias = (2, gates * count) if option == "reset_after" else (gates * count,)
        layers.append(
            (uniform(inputs, gates * count, limit=limit), uniform(count, gates * count, limit=limit), uniform(*bias, limit=0.5))
        )
        inputs = count
    return {
        "embedding": uniform(vocabulary, width, limit=1.0),
        "layers": layers,
        "ids": rng.integers(0, vocabulary, tokens),
    }


def keras_run(kind, option, weights):
    """The hidden states, tokens x units, of every layer."""
    keras.config.set_floatx("float64")
    hidden = inputs = keras.Input((None, weights["embedding"].shape[1]))
    layers, outputs = [], []
    for _, recurrent, _ in weights["layers"]:
        units = recurrent.shape[0]
        if kind == "gru":
            layer = keras.layers.GRU(units, return_sequences=True, reset_after=option == "reset_after")
        else:
            layer = keras.layers.SimpleRNN(units, return_sequences=True, activation=option)
        hidden = layer(hidden)
        layers.append(layer)
        outputs.append(hidden)
    model = keras.Model(inputs, outputs)
    for layer, values in zip(layers, weights["layers"]):
        layer.set_weights(list(values))
    values = model(weights["embedding"][weights["ids"]][None].astype(np.float64))
    values = values if isinstance(values, (list, tuple)) else [values]
    return [np.asarray(value)[0] for value in values]


def onnx_run(kind, option, weights):
    """The same, from ONNX Runtime."""
    nodes, constants, outputs = [], [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    for number, (kernel, recurrent, bias) in enumerate(weights["layers"]):
        bias = bias.reshape(-1) if option == "reset_after" else np.concatenate([bias, np.zeros_like(bias)])
        names = [
            constant(f"{name}{number}", value[None]) for name, value in [("W", kernel.T), ("R", recurrent.T), ("B", bias)]
        ]
        extra = {"activations": [option.capitalize()]} if kind == "rnn" else {"linear_before_reset": int(option == "reset_after")}
        nodes.append(
            helper.make_node(kind.upper(), [f"x{number}", *names], [f"y{number}"], hidden_size=recurrent.shape[0], **extra)
        )
        nodes.append(helper.make_node("Squeeze", [f"y{number}", constant(f"axis{number}", np.array([1]))], [f"x{number + 1}"]))
        outputs.append(f"x{number + 1}")
    graph = helper.make_graph(
        nodes,
        kind,
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["tokens", 1, weights["embedding"].shape[1]])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 3) for name in outputs],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    values = session.run(None, {"x0": weights["embedding"][weights["ids"]][:, None]})
    return [value[:, 0, :] for value in values]


def numbers(array):
    """Nested lists whose decimals give the same values back, in the array's own precision."""
    array = np.asarray(array)
    if array.dtype.kind in "iu":
        return array.tolist()
    if array.ndim > 0:
        return [numbers(part) for part in array]
    return float(str(array[()]))


def main():
    models = []
    for shape in SHAPES:
        name, kind, option, *_ = shape
        weights = random_weights(shape)
        by_keras, by_onnx = keras_run(kind, option, weights), onnx_run(kind, option, weights)
        difference = max(np.abs(a - b).max() for a, b in zip(by_keras, by_onnx))
        print(f"{name}: the frameworks differ by {difference:.1e}")
        assert difference < 1e-5, "the two layouts do not hold the same weights"
        models.append(
            {"name": name, "kind": kind, "option": option, "embedding": numbers(weights["embedding"]), "ids": numbers(weights["ids"])}
            | {"layers": [dict(zip(["kernel", "recurrent_kernel", "bias"], map(numbers, layer))) for layer in weights["layers"]]}
            | {"keras": [numbers(layer) for layer in by_keras], "onnx": [numbers(layer) for layer in by_onnx]}
        )
    text = ",\n".join(json.dumps(model, separators=(",", ":")) for model in models)
    (FOLDER / "gru_rnn.json").write_text(f"[\n{text}\n]\n")
    print("gru_rnn.json", (FOLDER / "gru_rnn.json").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
