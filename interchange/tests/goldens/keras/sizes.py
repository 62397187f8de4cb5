"""Writes sizes.zip: large models, and small files that say they are large. They are packed, so that the archive is small.

    venv/bin/python sizes.py
"""

import io
import json
import os
import zipfile

import h5py
import numpy as np

ROWS, FEATURES, UNITS = 60_000, 8, 4
CONFIG = {"class_name": "Sequential", "config": {"name": "large", "layers": [
    {"class_name": "Embedding", "config": {"name": "embedding", "input_dim": ROWS, "output_dim": FEATURES, "batch_input_shape": [None, None]}},
    {"class_name": "LSTM", "config": {"name": "lstm", "units": UNITS, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "return_sequences": False}},
    {"class_name": "Dense", "config": {"name": "dense", "units": 1, "activation": "linear", "use_bias": True}},
]}}


def tensors(dtype):
    """Few different values, which pack well."""
    value = lambda *shape: (np.arange(np.prod(shape)) % 7 / 8).astype(dtype).reshape(shape)
    return {
        "embedding": [("embeddings", value(ROWS, FEATURES))],
        "lstm": [("kernel", value(FEATURES, 4 * UNITS)), ("recurrent_kernel", value(UNITS, 4 * UNITS)), ("bias", value(4 * UNITS))],
        "dense": [("kernel", value(UNITS, 1)), ("bias", value(1))],
    }


def h5(dtype="float32", names=None, **options):
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["model_config"] = json.dumps(CONFIG)
        file.attrs["keras_version"] = "2.15.0"
        root = file.create_group("model_weights")
        root.attrs["layer_names"] = names or list(tensors(dtype))
        for layer, weights in tensors(dtype).items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = names or [name for name, _ in weights]
            for name, value in weights:
                large = options if value.ndim == 2 and len(value) == ROWS else {}
                group.create_dataset(name, **large) if "shape" in large else group.create_dataset(name, data=value, **large)
    return memory.getvalue()


def names():
    """Many names that are one text: each is a reference of 16 bytes, its length first, and all of them become the first."""
    count, length = 3_000, 50_001
    data = h5(names=["x" * length] + ["y"] * count)
    at = data.index(length.to_bytes(4, "little"))
    first = data[at : at + 16]
    return data[: at + 16] + first * count + data[at + 16 * (count + 1) :]


def keras():
    memory, file = io.BytesIO(), io.BytesIO()
    with h5py.File(file, "w") as target:
        for layer, weights in tensors("float32").items():
            path = f"layers/{layer}/cell/vars" if layer == "lstm" else f"layers/{layer}/vars"
            for number, (_, value) in enumerate(weights):
                target.create_dataset(f"{path}/{number}", data=value)
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("config.json", json.dumps(CONFIG))
        archive.writestr("model.weights.h5", file.getvalue())
    return memory.getvalue()


files = {
    "large.h5": h5(),
    "large.keras": keras(),
    "large-f16.h5": h5("float16"),
    "zeros-gzip.h5": h5(compression="gzip", compression_opts=9),
    "zeros-chunked.h5": h5(shape=(ROWS, FEATURES), dtype="float32", chunks=(1, 1)),
    "names.h5": names(),
}
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sizes.zip")
with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name, data in files.items():
        archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
print({name: len(data) for name, data in files.items()}, os.path.getsize(path), "bytes")
