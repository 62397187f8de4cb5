"""Runs files that Latch has exported in ONNX Runtime, Keras and PyTorch, and keeps them with what these compute.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    cargo run -p latch-interchange --example exported -- FOLDER
    venv/bin/python make.py FOLDER             # exports.zip
    venv/bin/python make.py FOLDER --check     # writes nothing

Each line is a framework, the number of its files and the largest difference to the answers that Latch computes in f64; one above 1e-5 is an error. The archive holds
the files and `cases.json`: a list of {name, file, kind, ids, x, y, python}, y being what the framework computes. `cargo xtask frameworks` does both, for these files and
for those of runs.
"""

import json
import os
import sys
import zipfile

os.environ.setdefault("KERAS_BACKEND", "torch")

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
WITHIN = 1e-5
MOMENT = (2026, 1, 1, 0, 0, 0)


def of_onnx(path, x, program):
    """The answer of ONNX Runtime."""
    import onnx
    import onnxruntime

    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (only,) = session.get_inputs()
    kind = "int64" if only.type == "tensor(int64)" else "float32"
    return session.run(None, {only.name: x.astype(kind)})[0]


def loaded(path, program):
    """The model that a program of the export makes, next to its file."""
    place = os.getcwd()
    os.chdir(os.path.dirname(path))
    names = {}
    try:
        exec(program, names)
    finally:
        os.chdir(place)
    return names["model"]


def of_keras(path, x, program):
    model = loaded(path, program)
    return np.asarray(model.predict_on_batch(x.astype("int32" if x.ndim == 2 else "float32")))


def of_torch(path, x, program):
    import torch

    model = loaded(path, program).eval()
    with torch.no_grad():
        given = torch.tensor(x, dtype=torch.int64 if x.ndim == 2 else torch.float32)
        return model(given).numpy()


RUN = {"onnx": of_onnx, "keras": of_keras, "torch": of_torch}


def computed(folder, case):
    """What the framework answers to one sequence; the same to two of them, where the file takes a batch."""
    x = np.asarray(case["x"])
    x = x[None] if case["ids"] else x.reshape(1, -1, case.get("channels", 3))
    run = lambda x: RUN[case["kind"]](os.path.join(folder, case["file"]), x, case["python"])
    y = run(x)
    if "states" not in case["name"]:
        both = run(np.concatenate([x, x]))
        assert both.shape[0] == 2 and np.allclose(both, np.concatenate([y, y]), atol=1e-6), case["file"]
    return y.astype("float64").ravel()


def main():
    folder = os.path.abspath(sys.argv[1])
    with open(os.path.join(folder, "cases.json")) as file:
        cases = json.load(file)
    worst, failed = {}, []
    for case in cases:
        y, expected = computed(folder, case), np.asarray(case["y"])
        if y.shape != expected.shape:
            failed.append(f"{case['file']}: {y.size} answers in place of {expected.size}")
            continue
        most = float(np.abs(y - expected).max())
        count, before = worst.get(case["kind"], (0, 0.0))
        worst[case["kind"]] = (count + 1, max(before, most))
        if not most <= WITHIN:
            failed.append(f"{case['file']}: it differs by {most:.1e}")
        case["y"] = [float(value) for value in y]
    for kind, (count, most) in worst.items():
        print(f"{kind}: {count} files, off by {most:.1e} at most")
    if failed:
        sys.exit("\n".join(failed))
    if "--check" in sys.argv:
        return
    with zipfile.ZipFile(os.path.join(HERE, "exports.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        def keep(name, data):
            archive.writestr(zipfile.ZipInfo(name, MOMENT), data, zipfile.ZIP_DEFLATED)

        for case in cases:
            with open(os.path.join(folder, case["file"]), "rb") as file:
                keep(case["file"], file.read())
        keep("cases.json", json.dumps(cases))


if __name__ == "__main__":
    main()
