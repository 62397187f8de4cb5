"""Writes the references of the models in this folder: `NAME.csv` with a row `x,y` a step, and the `output_batch` of `aida.json`, which is made here.

    python3 make_references.py FOLDER

FOLDER holds the projects' own files as they were published, in a folder a project: `rtneural/*_x_python.csv` and `*_y_python.csv` (RTNeural, BSD-3),
`nam/lstm_example_ref.npz` (the outputs of NeuralAmpModelerCore, MIT) and `guitarml/lstm4_ts9_pytorch_ref.npz` (those of PyTorch; the model is
NeuralSeed's, MIT). Of long ones the first 1,000 steps are kept. Needs no package.
"""

import ast
import json
import math
import pathlib
import struct
import sys
import zipfile

STEPS = 1000
HERE = pathlib.Path(__file__).parent


def array(archive, name):
    data = archive.read(name + ".npy")
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10 : 10 + length].decode())
    kind = {"<f4": "f", "<f8": "d"}[header["descr"]]
    values = data[10 + length :]
    return struct.unpack(f"<{len(values) // struct.calcsize(kind)}{kind}", values)


def write(name, x, y):
    rows = [f"{a:.9g},{b:.9g}\n" for a, b in zip(x[:STEPS], y[:STEPS])]
    (HERE / f"{name}.csv").write_text("".join(rows))


def main(folder):
    for name in ["lstm_1d", "gru_torch"]:
        read = lambda part: [float(line) for line in (folder / f"rtneural/{name}_{part}_python.csv").read_text().split()]
        write(name, read("x"), read("y"))
    for path, x, y in [("nam/lstm_example", "x", "y_namcore_cold"), ("guitarml/lstm4_ts9_pytorch", "x", "y")]:
        with zipfile.ZipFile(folder / f"{path}_ref.npz") as archive:
            write(path.split("/")[1], array(archive, x), array(archive, y))


def aida():
    """The answers of the small model in the form of AIDA-X, by the equations alone."""
    path = HERE / "aida.json"
    text = path.read_text()
    model = json.loads(text)
    conv, gru, middle, head = (layer["weights"] for layer in model["layers"])
    sigma = lambda x: 1 / (1 + math.exp(-x))
    dense = lambda w, x: [sum(x[i] * w[0][i][j] for i in range(len(x))) + w[1][j] for j in range(len(w[1]))]
    gain = [10 ** (model[key] / 20) for key in ["in_gain", "out_gain"]]
    before, h, answers = 0.0, [0.0, 0.0], []
    for sample in model["input_batch"]:
        x = gain[0] * sample
        y = [max(0.0, before * conv[0][0][0][j] + x * conv[0][1][0][j] + conv[1][j]) for j in range(2)]
        before = x
        a = [sum(y[i] * gru[0][i][j] for i in range(2)) + gru[2][0][j] for j in range(6)]
        u = [sum(h[i] * gru[1][i][j] for i in range(2)) + gru[2][1][j] for j in range(6)]
        z = [sigma(a[j] + u[j]) for j in range(2)]
        r = [sigma(a[2 + j] + u[2 + j]) for j in range(2)]
        n = [math.tanh(a[4 + j] + r[j] * u[4 + j]) for j in range(2)]
        h = [(1 - z[j]) * n[j] + z[j] * h[j] for j in range(2)]
        answers.append(gain[1] * (dense(head, [math.tanh(v) for v in dense(middle, h)])[0] + x))
    old = text[text.index('"output_batch"') : text.index(']', text.index('"output_batch"')) + 1]
    path.write_text(text.replace(old, '"output_batch": ' + json.dumps([float(f"{answer:.9g}") for answer in answers])))


aida()
main(pathlib.Path(sys.argv[1]))
