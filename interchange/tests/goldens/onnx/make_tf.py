"""Writes tiny models of Keras as tf2onnx exports them, an input of each and what Keras computes of it.

    python3 -m venv venv && venv/bin/pip install --no-deps -r requirements-tf.txt && venv/bin/pip install tensorflow-cpu==2.21.0 flatbuffers requests
    venv/bin/python make_tf.py        # tf2onnx.zip

The archive has the form of that of make.py. `gru-reset-before` and `rnn` are exported as a Loop, which is refused: they have no y. `cell-…` are one step of a
cell, whose states come in and go out.
"""

import json
import os
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import numpy as np

# tf2onnx 1.17 asks for what NumPy 2 does not have any more.
for name, kind in [("bool", bool), ("object", object), ("int", int), ("float", float)]:
    if not hasattr(np, name):
        setattr(np, name, kind)
if not hasattr(np, "cast"):
    np.cast = type("Cast", (dict,), {"__missing__": lambda self, kind: lambda value: np.asarray(value).astype(kind)})()

import tensorflow as tf
import tf2onnx
import tf_keras as keras

HERE = os.path.dirname(os.path.abspath(__file__))
L = keras.layers
STEPS, CHANNELS, WORDS = 6, 3, 7


def sequential(*layers, shape=(STEPS, CHANNELS)):
    return keras.Sequential([L.Input(shape=shape), *layers])


MODELS = {
    "lstm": lambda: sequential(L.LSTM(4), L.Dense(2)),
    "lstm-steps": lambda: sequential(L.LSTM(4, return_sequences=True), L.LSTM(4, return_sequences=True), L.Dense(2)),
    "lstm-any-length": lambda: sequential(L.LSTM(4, return_sequences=True), L.LSTM(4), L.Dense(1), shape=(None, CHANNELS)),
    "lstm-backwards": lambda: sequential(L.LSTM(4, go_backwards=True), L.Dense(1)),
    "gru": lambda: sequential(L.GRU(4, return_sequences=True), L.GRU(3), L.Dense(3, activation="softmax")),
    "bidirectional": lambda: sequential(L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Bidirectional(L.LSTM(3)), L.Dense(1)),
    "bidirectional-sum": lambda: sequential(L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="sum"), L.Dense(1)),
    "embedding": lambda: sequential(L.Embedding(WORDS, 4), L.LSTM(4), L.Dense(1, activation="sigmoid"), shape=(STEPS,)),
    "conv-causal": lambda: sequential(L.Conv1D(4, 3, padding="causal", activation="relu"), L.GRU(4), L.Dense(1)),
    "conv-same-pool": lambda: sequential(L.Conv1D(4, 3, padding="same", activation="relu"), L.MaxPooling1D(2), L.LSTM(4), L.Dense(1)),
    "batch-norm": lambda: sequential(L.LSTM(4, return_sequences=True), L.BatchNormalization(), L.Dense(3, activation="relu"), L.LSTM(2), L.Dense(1)),
    "time-distributed": lambda: sequential(L.LSTM(4, return_sequences=True), L.TimeDistributed(L.Dense(2, activation="tanh")), L.GlobalMaxPooling1D()),
    "mean": lambda: sequential(L.GRU(4, return_sequences=True), L.GlobalAveragePooling1D(), L.Dense(3, activation="softmax")),
    "gru-reset-before": lambda: sequential(L.GRU(4, reset_after=False), L.Dense(1)),
    "rnn": lambda: sequential(L.SimpleRNN(4), L.Dense(1)),
}


CELLS = {
    "cell-lstm": lambda: [L.LSTMCell(4)],
    "cell-lstm-stacked": lambda: [L.LSTMCell(4), L.LSTMCell(5)],
    "cell-gru": lambda: [L.GRUCell(4)],
    "cell-gru-reset-before": lambda: [L.GRUCell(4, reset_after=False)],
    "cell-rnn": lambda: [L.SimpleRNNCell(4)],
    # One step of layers that are unrolled, as DTLN exports its models: the states are one tensor [1, layers, units, h and c].
    "cell-lstm-unrolled": lambda: [L.LSTM(4, unroll=True, return_state=True, return_sequences=True) for _ in range(2)],
}


def cells(cases, files):
    """One step a call: the states of the cells are inputs and outputs, behind the sample and the answer."""
    for name, build in CELLS.items():
        keras.backend.clear_session()
        layers, dense = build(), L.Dense(2)
        is_unrolled = name == "cell-lstm-unrolled"
        listed = lambda value: list(value) if isinstance(value, (list, tuple)) else [value]
        sizes = [size for layer in layers for size in listed(getattr(layer, "cell", layer).state_size)]

        def step(x, *states):
            if is_unrolled:
                parts, after = states[0], []
                for number, layer in enumerate(layers):
                    x, h, c = layer(x, initial_state=[parts[:, number, :, 0], parts[:, number, :, 1]])
                    after.append((h, c))
                stacked = [tf.reshape(tf.stack([of[place] for of in after], axis=0), (1, len(layers), 4)) for place in (0, 1)]
                return dense(x), tf.stack(stacked, axis=-1)
            left, after = list(states), []
            for layer in layers:
                count = len(listed(layer.state_size))
                x, following = layer(x, left[:count])
                after += listed(following)
                left = left[count:]
            return (dense(x), *after)

        shapes = [[1, len(layers), 4, 2]] if is_unrolled else [[1, size] for size in sizes]
        first = [1, 1, CHANNELS] if is_unrolled else [1, CHANNELS]
        states = [np.zeros(shape, "float32") for shape in shapes]
        step(tf.zeros(first), *[tf.constant(state) for state in states])
        random = np.random.default_rng(3)
        for layer in [*layers, dense]:
            layer.set_weights([(0.5 * random.normal(size=weight.shape)).astype("float32") for weight in layer.weights])
        specs = [tf.TensorSpec(shape, tf.float32, name=name) for shape, name in zip([first, *shapes], ["x", *[f"state_{n}" for n in range(len(shapes))]])]
        exported, _ = tf2onnx.convert.from_function(tf.function(step), input_signature=specs, opset=17)
        x, y = np.random.default_rng(1).normal(size=(STEPS, CHANNELS)).astype("float32"), []
        for sample in x:
            answer, *states = step(tf.constant(sample.reshape(first)), *[tf.constant(state) for state in states])
            y.append(np.asarray(answer).reshape(-1))
        flat = lambda values: [float(value) for value in np.asarray(values, dtype="float64").reshape(-1)]
        cases.append({"name": f"tf2onnx-{name}", "file": f"{name}.onnx", "until": None, "ids": False, "x": flat(x), "y": flat(y), "sequences": 1})
        files.append((f"{name}.onnx", exported.SerializeToString()))


def main():
    cases, files = [], []
    for name, build in MODELS.items():
        keras.backend.clear_session()
        model = build()
        random = np.random.default_rng(3)
        # Variances are positive.
        shift = lambda weight: 1.0 if "variance" in weight.name else 0.0
        model.set_weights([(shift(weight) + (0.2 if shift(weight) else 0.5) * random.normal(size=weight.shape)).astype("float32") for weight in model.weights])
        x = np.random.default_rng(1).normal(size=(1, STEPS, CHANNELS)).astype("float32")
        ids = name == "embedding"
        if ids:
            x = np.array([[3, 1, 6, 2, 5, 4]], dtype="float32")
        spec = tf.TensorSpec([None, *model.input_shape[1:]], tf.float32, name="x")
        exported, _ = tf2onnx.convert.from_function(tf.function(lambda x: model(x)), input_signature=[spec], opset=17)
        flat = lambda values: [float(value) for value in np.asarray(values, dtype="float64").reshape(-1)]
        is_loop = name in ["gru-reset-before", "rnn"]
        y = [] if is_loop else flat(model(x))
        cases.append({"name": f"tf2onnx-{name}", "file": f"{name}.onnx", "until": None, "ids": ids, "x": flat(x), "y": y, "sequences": 1})
        files.append((f"{name}.onnx", exported.SerializeToString()))
    cells(cases, files)
    path = os.path.join(HERE, "tf2onnx.zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [("cases.json", json.dumps(cases, indent=0).encode()), *files]:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
    print(len(cases), "cases,", os.path.getsize(path), "bytes")


main()
