"""Makes keras_losses.json: the losses of answers of every kind and their gradients, as Keras computes them in float64.

    venv/bin/python make_losses.py          the same environment as of make_lstm.py, whose weights these are like

Each case is Embedding > LSTM > Dense over sequences of one length: softmax cross-entropy of three classes, the squared error of a value, and
both once more with an answer after each token. Gradients are those of the mean over all answers, in Keras's own layout: kernel inputs x 4
units, recurrent_kernel units x 4 units, gates i, f, c, o.
"""

import json

import keras
import numpy as np
import tensorflow as tf

from make_lstm import FOLDER, random_weights

# name, pooling, objective, outputs
CASES = [
    ("classes", "last", "classes", 3),
    ("values", "max", "values", 1),
    ("a_class_each_step", "each", "classes", 3),
    ("a_value_each_step", "each", "values", 1),
]

SEQUENCES, TOKENS = 4, 6


def run(name, pooling, objective, outputs, seed):
    weights = random_weights((name, 7, 3, [5], outputs, TOKENS, seed))
    rng = np.random.default_rng(100 + seed)
    ids = rng.integers(0, 7, (SEQUENCES, TOKENS))
    shape = (SEQUENCES, TOKENS) if pooling == "each" else (SEQUENCES,)
    labels = rng.integers(0, outputs, shape) if objective == "classes" else rng.uniform(-2, 2, shape).astype(np.float32)
    embedding = keras.layers.Embedding(7, 3)
    lstm = keras.layers.LSTM(5, return_sequences=True)
    head = keras.layers.Dense(outputs)
    inputs = keras.Input((TOKENS,), dtype="int32")
    hidden = lstm(embedding(inputs))
    if pooling == "last":
        hidden = hidden[:, -1, :]
    elif pooling == "max":
        hidden = keras.layers.GlobalMaxPooling1D()(hidden)
    model = keras.Model(inputs, head(hidden))
    embedding.set_weights([weights["embedding"]])
    lstm.set_weights(list(weights["layers"][0]))
    head.set_weights([weights["head"], weights["head_bias"]])
    if objective == "classes":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        loss = keras.losses.MeanSquaredError()
    with tf.GradientTape() as tape:
        answers = model(ids)
        value = loss(labels, answers if objective == "classes" else answers[..., 0])
    names = ["embedding", "kernel", "recurrent_kernel", "bias", "head", "head_bias"]
    tensors = dict(zip(names, model.trainable_variables))
    gradients = tape.gradient(value, list(tensors.values()))

    def plain(tensor):
        return np.asarray(tf.convert_to_tensor(tensor)).tolist()

    return {
        "name": name,
        "pooling": pooling,
        "objective": objective,
        "ids": ids.tolist(),
        "labels": np.asarray(labels, dtype=np.float64).reshape(SEQUENCES, -1).tolist(),
        "weights": {key: plain(tensor) for key, tensor in tensors.items()},
        "loss": float(value),
        "gradients": {key: plain(gradient) for key, gradient in zip(names, gradients)},
    }


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    cases = [run(*case, seed) for seed, case in enumerate(CASES)]
    (FOLDER / "keras_losses.json").write_text(json.dumps({"keras": keras.__version__, "cases": cases}) + "\n")
