"""Keras's side of `cargo xtask keras`: trains once and appends a line of JSON to a file.

    keras_training.py FOLDER FILE --batch 32 --threads 2 --mode MODE [--lots N]

FOLDER has what `training prepare` wrote: the first weights and the batches, the same as ours. The modes are

    unrolled-lazy     the layer unrolled in a graph; Adam as ours (LazyAdam below)
    loop-lazy         the layer as a loop in a graph; Adam as ours
    unrolled          the layer unrolled in a graph; Keras's own Adam
    xla               the layer as a loop, compiled by XLA (jit_compile); Keras's own Adam
    stock             as most people write it: LSTM(128), compile(optimizer=Adam, loss=...), fit; every other choice is Keras's

An unrolled layer under XLA takes minutes to compile and is slower than each of these, so there is no such mode. Every mode but `stock` trains
by `fit` over a tf.data pipeline from memory with steps_per_execution, which leaves Python out of the steps. The first lot of steps, in which Keras
compiles, is not timed.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

VOCABULARY, UNITS, TOKENS = 20_000, 128, 80
LOT = 8
LEARNING_RATE = 5e-4
MODES = ["unrolled-lazy", "loop-lazy", "unrolled", "xla", "stock"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--lots", type=int, help="lots of 8 steps; without it all there are")
    return parser.parse_args()


ASKED = arguments()
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


class LazyAdam(keras.optimizers.Adam):
    """Adam by the rule of Latch's trainer: with epsilon beside the corrected root, as in the paper (Kingma and Ba, algorithm 1), and with means
    and weights of the embedding's rows changed only where the batch has their ids. Keras's own moves all 20,000 rows at every step."""

    def update_step(self, gradient, variable, learning_rate):
        number = self._get_variable_index(variable)
        mean, square, weight = self._momentums[number].value, self._velocities[number].value, variable
        step = tf.cast(self.iterations.value + 1, tf.float32)
        rate = tf.cast(learning_rate, tf.float32) / (1.0 - tf.pow(self.beta_1, step))
        correction = tf.math.rsqrt(1.0 - tf.pow(self.beta_2, step))

        def moved(m, v, g):
            m = self.beta_1 * m + (1.0 - self.beta_1) * g
            v = self.beta_2 * v + (1.0 - self.beta_2) * g * g
            return m, v, rate * m / (tf.sqrt(v) * correction + self.epsilon)

        if isinstance(gradient, tf.IndexedSlices):
            ids, places = tf.unique(gradient.indices)
            values = tf.math.unsorted_segment_sum(gradient.values, places, tf.size(ids))
            m, v, change = moved(tf.gather(mean, ids), tf.gather(square, ids), values)
            mean.scatter_update(tf.IndexedSlices(m, ids))
            square.scatter_update(tf.IndexedSlices(v, ids))
            weight.scatter_sub(tf.IndexedSlices(change, ids))
        else:
            m, v, change = moved(mean, square, gradient)
            mean.assign(m)
            square.assign(v)
            weight.assign_sub(change)


class Clock(keras.callbacks.Callback):
    """When the second lot began, and the last one ended: wall clock and the processor's time. And the mean loss of each lot, from the running
    mean that Keras gives."""

    def __init__(self):
        super().__init__()
        self.began = self.ended = (0.0, 0.0)
        self.steps, self.sum, self.losses = 0, 0.0, []

    def on_train_batch_end(self, batch, logs=None):
        # With steps_per_execution this is called once a lot.
        self.steps = batch + 1
        if self.steps % LOT == 0:
            total = logs["loss"] * self.steps
            self.losses.append((total - self.sum) / LOT)
            self.sum = total
            self.ended = (time.perf_counter(), time.process_time())
            if self.steps == LOT:
                self.began = self.ended


def model():
    """The network with the weights of the file."""
    layers = [
        keras.Input((TOKENS,), dtype="int32", batch_size=ASKED.batch),
        keras.layers.Embedding(VOCABULARY, UNITS),
        keras.layers.LSTM(UNITS, unroll=ASKED.mode.startswith("unrolled")),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    made = keras.Sequential(layers)
    values, at, weights = np.fromfile(ASKED.folder / "weights.f32", "<f4"), 0, []
    for weight in made.get_weights():
        weights.append(values[at : at + weight.size].reshape(weight.shape))
        at += weight.size
    if at != values.size:
        sys.exit(f"error: weights.f32 has {values.size} values, the network {at}")
    made.set_weights(weights)
    optimizer = LazyAdam if ASKED.mode.endswith("lazy") else keras.optimizers.Adam
    optimizer = optimizer(LEARNING_RATE, epsilon=1e-7)
    if ASKED.mode == "stock":
        made.compile(optimizer=optimizer, loss="binary_crossentropy")
    else:
        made.compile(optimizer=optimizer, loss="binary_crossentropy", jit_compile=ASKED.mode == "xla", steps_per_execution=LOT)
    return made


def main():
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: ASKED.threads])
    tf.config.threading.set_intra_op_parallelism_threads(ASKED.threads)
    tf.config.threading.set_inter_op_parallelism_threads(ASKED.threads)
    tokens = np.fromfile(ASKED.folder / f"tokens-{ASKED.batch}.u32", "<u4").astype(np.int32).reshape(-1, TOKENS)
    labels = np.fromfile(ASKED.folder / f"labels-{ASKED.batch}.f32", "<f4").reshape(-1, 1)
    lots = ASKED.lots or len(labels) // ASKED.batch // LOT
    batches = tf.data.Dataset.from_tensor_slices((tokens, labels)).batch(ASKED.batch, drop_remainder=True)
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    batches = batches.with_options(options).prefetch(2)
    clock = Clock()
    model().fit(batches, steps_per_epoch=lots * LOT, verbose=0, callbacks=[clock])
    if len(clock.losses) != lots:
        sys.exit(f"error: Keras took {len(clock.losses)} of {lots} lots")
    done = (lots - 1) * LOT * ASKED.batch * TOKENS
    wall, cpu = (ended - began for ended, began in zip(clock.ended, clock.began))
    run = {
        "engine": f"keras {ASKED.mode}",
        "same_rule": ASKED.mode.endswith("lazy"),
        "batch": ASKED.batch,
        "threads": ASKED.threads,
        "speed": done / wall,
        "work": done / cpu,
        "losses": clock.losses,
    }
    with ASKED.file.open("a") as file:
        file.write(json.dumps(run) + "\n")


if __name__ == "__main__":
    main()
