"""Trains Embedding > LSTM > pooling > one logit on the ids that `latch tokens` wrote, and saves what `latch import` reads."""

import argparse
import json

import keras
import numpy as np
from keras import ops
from safetensors import safe_open
from safetensors.numpy import load_file, save_file


def build(rows, embedding, units, layers, pooling, dropout=0.3):
    """The model, and its layers with weights by Latch's names. It reads padded ids (texts x tokens); padding is -1 and reaches no pooling."""
    named = {"embedding": keras.layers.Embedding(rows, embedding), "head": keras.layers.Dense(1)}
    ids = keras.Input((None,), dtype="int32")
    inside = ids >= 0
    hidden = keras.layers.Dropout(dropout)(named["embedding"](ops.maximum(ids, 0)))
    for layer in range(layers):
        named[f"lstm.{layer}"] = keras.layers.LSTM(units, return_sequences=True)
        hidden = named[f"lstm.{layer}"](hidden, mask=inside)
    inside = inside[..., None]
    counts = lambda: ops.where(inside, ops.exp(4.0 * hidden[..., :1]), 0.0)
    seen = {
        # Behind the end Keras repeats the last state.
        "last": lambda: hidden[:, -1],
        "mean": lambda: ops.sum(ops.where(inside, hidden, 0.0), 1) / ops.sum(ops.cast(inside, "float32"), 1),
        "max": lambda: ops.max(ops.where(inside, hidden, -np.inf), 1),
        "attention": lambda: ops.sum(counts() * hidden, 1) / ops.sum(counts(), 1),
    }[pooling]()
    return keras.Model(ids, named["head"](keras.layers.Dropout(dropout)(seen))), named


SIZES = ["rows", "embedding", "units", "layers", "pooling"]
NAMES = {"embedding": ["embeddings"], "head": ["kernel", "bias"], "lstm": ["kernel", "recurrent_kernel", "bias"]}


def save(named, note, path):
    """Writes the layers' weights and what Latch must know of them besides."""
    tensors = {}
    for layer, weights in named.items():
        tensors |= {f"{layer}.{name}": value for name, value in zip(NAMES[layer.split(".")[0]], weights.get_weights())}
    save_file(tensors, path, metadata={"latch": json.dumps(note | {"layout": "keras", "gates": "i,f,c,o"})})


def read(path, tokens):
    """The texts with a word in them: the last ids of each, padded behind with -1, and the labels."""
    rows = [row for row in map(json.loads, open(path, encoding="utf-8")) if row["ids"]]
    ids = keras.utils.pad_sequences([row["ids"] for row in rows], tokens, padding="post", truncating="pre", value=-1)
    return ids, np.array([[row["label"]] for row in rows], np.float32)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ["--train", "--valid", "--out"]:
        parser.add_argument(name, required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--vocabulary", help="file of `latch tokens`, for a new network")
    source.add_argument("--start", help="file of `latch export --format safetensors --layout keras`, to go on from")
    for name, default in [("embedding", 16), ("units", 32), ("layers", 1), ("epochs", 8), ("batch", 32), ("tokens", 400), ("lr", 3e-3)]:
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--pooling", choices=["last", "mean", "max", "attention"], default="attention")
    args = parser.parse_args()
    keras.utils.set_random_seed(1)
    training, validation = read(args.train, args.tokens), read(args.valid, args.tokens)
    if args.start:
        note = json.loads(safe_open(args.start, "np").metadata()["latch"])
    else:
        words = open(args.vocabulary, encoding="utf-8").read().split("\n")[:-1]
        # One row more than words if an id says so: the row of unknown words.
        rows = int(max(len(words), 1 + training[0].max(), 1 + validation[0].max()))
        note = {"rows": rows, "vocabulary": words} | {key: getattr(args, key) for key in SIZES[1:]}
    model, named = build(*[note[key] for key in SIZES])
    if args.start:
        tensors = load_file(args.start)
        for layer, weights in named.items():
            weights.set_weights([tensors[f"{layer}.{name}"] for name in NAMES[layer.split(".")[0]]])
    accuracy = keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(args.lr, clipnorm=1.0), loss, metrics=[accuracy])
    best = keras.callbacks.EarlyStopping("val_loss", patience=args.epochs, restore_best_weights=True)
    model.fit(*training, args.batch, args.epochs, validation_data=validation, callbacks=[best], verbose=2)
    save(named, note, args.out)


if __name__ == "__main__":
    main()
