"""Makes conv1d.json: causal convolutions with random weights, and what Keras computes with them.

    python3 -m venv venv
    venv/bin/pip install keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6
    venv/bin/python make_conv1d.py

Each model is a stack of Conv1D layers with padding="causal". The file holds the frames that were read, of each layer the weights in Keras's layout, the stride and the
activation, and the values of every layer after every frame that it answers.

    Keras Conv1D    kernel frames of the window x inputs x units, the oldest frame first; bias units; the first answer at the first frame

Keras computes in float64. All weights are float32 values, written with as many digits as give the same value back.
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np

FOLDER = pathlib.Path(__file__).parent

# name, channels, frames, (units, window, stride, activation) of each layer, seed
SHAPES = [
    ("one frame", 2, 9, [(3, 1, 1, "linear")], 1),
    ("a window of three", 2, 12, [(4, 3, 1, "relu")], 2),
    ("a window as long as the series", 1, 8, [(5, 8, 1, "linear")], 3),
    ("a window longer than the series", 3, 4, [(2, 7, 1, "relu")], 4),
    ("a stride of two", 2, 13, [(4, 5, 2, "relu")], 5),
    ("a stride longer than the window", 2, 14, [(4, 2, 5, "linear")], 6),
    ("two layers, both with a stride", 3, 19, [(6, 4, 2, "relu"), (5, 3, 3, "linear")], 7),
]


def random_weights(shape):
    _, channels, frames, layers, seed = shape
    rng = np.random.default_rng(seed)
    weights, inputs = [], channels
    for units, window, _, _ in layers:
        limit = np.sqrt(3.0 / (window * inputs))
        kernel = rng.uniform(-limit, limit, (window, inputs, units)).astype(np.float32)
        weights.append((kernel, rng.uniform(-0.5, 0.5, units).astype(np.float32)))
        inputs = units
    return rng.uniform(-1.0, 1.0, (frames, channels)).astype(np.float32), weights


def keras_run(series, layers, weights):
    """The values, answers x units, of every layer."""
    keras.config.set_floatx("float64")
    values = inputs = keras.Input((None, series.shape[1]))
    stack, outputs = [], []
    for units, window, stride, activation in layers:
        stack.append(keras.layers.Conv1D(units, window, strides=stride, padding="causal", activation=activation))
        values = stack[-1](values)
        outputs.append(values)
    model = keras.Model(inputs, outputs)
    for layer, (kernel, bias) in zip(stack, weights):
        layer.set_weights([kernel, bias])
    found = model(series[None].astype(np.float64))
    found = found if isinstance(found, (list, tuple)) else [found]
    return [np.asarray(value)[0] for value in found]


def numbers(array):
    """Nested lists whose decimals give the same values back, in the array's own precision."""
    array = np.asarray(array)
    return [numbers(part) for part in array] if array.ndim > 0 else float(str(array[()]))


def main():
    models = []
    for shape in SHAPES:
        name, _, _, layers, _ = shape
        series, weights = random_weights(shape)
        values = keras_run(series, layers, weights)
        described = [
            {"kernel": numbers(kernel), "bias": numbers(bias), "stride": stride, "activation": activation}
            for (_, _, stride, activation), (kernel, bias) in zip(layers, weights)
        ]
        models.append({"name": name, "series": numbers(series), "layers": described, "keras": [numbers(v) for v in values]})
    text = ",\n".join(json.dumps(model, separators=(",", ":")) for model in models)
    (FOLDER / "conv1d.json").write_text(f"[\n{text}\n]\n")
    print("conv1d.json", (FOLDER / "conv1d.json").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
