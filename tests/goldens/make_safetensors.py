"""Makes pytorch.safetensors, keras.safetensors and safetensors_logits.json: networks that the examples' own modules save, and what they compute.

    python3 -m venv venv
    venv/bin/pip install -r ../../examples/pytorch/requirements.txt -r ../../examples/keras/requirements.txt
    venv/bin/python make_safetensors.py

Both have random weights, two LSTM layers, and twelve rows for eleven words and the unknown one. PyTorch's file is `save_file` of the module's
`state_dict` and no more: no metadata, two biases for each layer. Keras's is what its example saves. For each file and pooling there are the
logits of four texts, computed padded side by side in float32, as in training.
"""

import importlib.util
import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.utils.rnn import pad_sequence

FOLDER = pathlib.Path(__file__).parent
ROWS, WIDTH, UNITS, LAYERS = 12, 5, 6, 2
WORDS = ["!", "a", "bad", "but", "film", "fine", "is", "not", "the", "this", "very"]
TEXTS = [[9, 6, 1, 5, 4, 0], [4], [7, 1, 2, 4, 3, 11, 10, 5, 0, 0, 11, 8, 4, 6, 7, 2], [11, 11, 5]]
POOLINGS = ["last", "mean", "max", "attention"]


def example(framework):
    """The example's train.py as a module."""
    spec = importlib.util.spec_from_file_location(framework, FOLDER / f"../../examples/{framework}/train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def uniform(shape, rng):
    """Weights as large as in trained networks."""
    return rng.uniform(-1, 1, shape).astype(np.float32)


def pytorch(rng):
    """Saves PyTorch's file and returns its logits by pooling."""
    net = example("pytorch").Net(ROWS, WIDTH, UNITS, LAYERS, "last").eval()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.copy_(torch.from_numpy(uniform(tensor.shape, rng)))
        save_file(net.state_dict(), FOLDER / "pytorch.safetensors")
        ids = pad_sequence([torch.tensor(text) for text in TEXTS], batch_first=True)
        lengths = torch.tensor([len(text) for text in TEXTS])
        logits = {}
        for net.pooling in POOLINGS:
            logits[net.pooling] = net(ids, lengths).tolist()
    return logits


def keras_(rng):
    """The same for Keras; its file says that the pooling is the mean."""
    train, logits, kept = example("keras"), {}, {}
    ids = keras.utils.pad_sequences(TEXTS, padding="post", value=-1)
    for pooling in POOLINGS:
        model, named = train.build(ROWS, WIDTH, UNITS, LAYERS, pooling)
        for name, layer in named.items():
            kept.setdefault(name, [uniform(value.shape, rng) for value in layer.get_weights()])
            layer.set_weights(kept[name])
        logits[pooling] = np.asarray(model(ids))[:, 0].tolist()
    note = {"rows": ROWS, "embedding": WIDTH, "units": UNITS, "layers": LAYERS, "pooling": "mean", "vocabulary": WORDS}
    train.save(named, note, FOLDER / "keras.safetensors")
    return logits


logits = {"pytorch": pytorch(np.random.default_rng(1)), "keras": keras_(np.random.default_rng(2))}
golden = {"words": WORDS, "texts": TEXTS, "logits": logits}
(FOLDER / "safetensors_logits.json").write_text(json.dumps(golden, indent=1) + "\n")
