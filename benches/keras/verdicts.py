"""What a network of `examples/keras/train.py` says in Keras: the logit of each text, a line each. Nothing is cut off a text."""

import argparse
import gzip
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../examples/keras"))

import keras
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file
from train import NAMES, SIZES, build

# Texts of a batch, and the steps that its length is a multiple of, so that few graphs are compiled.
BATCH, STEPS = 64, 128


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name, what in [
        ("net", "safetensors of train.py"),
        ("ids", "lines of `latch tokens` for the texts"),
        ("data", "the texts themselves, label and text with a tab between, gzip"),
        ("texts", "where the texts are written that have an id, a line each"),
        ("answers", "where their logits are written"),
    ]:
        parser.add_argument(f"--{name}", required=True, help=what)
    args = parser.parse_args()
    note = json.loads(safe_open(args.net, "np").metadata()["latch"])
    model, named = build(*[note[key] for key in SIZES])
    tensors = load_file(args.net)
    for layer, weights in named.items():
        weights.set_weights([tensors[f"{layer}.{name}"] for name in NAMES[layer.split(".")[0]]])
    ids = [json.loads(line)["ids"] for line in open(args.ids, encoding="utf-8")]
    texts = [line.rstrip("\n").split("\t", 1)[1] for line in gzip.open(args.data, "rt", encoding="utf-8")]
    assert len(ids) == len(texts), f"{len(ids)} rows of ids, {len(texts)} texts"
    read = sorted((len(row), place) for place, row in enumerate(ids) if row)
    logits = {}
    for begin in range(0, len(read), BATCH):
        places = [place for _, place in read[begin : begin + BATCH]]
        longest = -(-max(len(ids[place]) for place in places) // STEPS) * STEPS
        rows = [ids[place] for place in places] + [[0]] * (BATCH - len(places))
        padded = keras.utils.pad_sequences(rows, longest, padding="post", value=-1)
        answers = np.asarray(model.predict_on_batch(padded))[:, 0]
        logits.update(zip(places, answers))
    with open(args.texts, "w", encoding="utf-8") as file, open(args.answers, "w", encoding="utf-8") as out:
        for place in sorted(logits):
            file.write(texts[place] + "\n")
            out.write(f"{logits[place]:.6f}\n")


if __name__ == "__main__":
    main()
