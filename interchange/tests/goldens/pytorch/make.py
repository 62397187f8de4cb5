"""Makes pytorch.zip: files that safetensors writes of modules of PyTorch, and what PyTorch computes of an input.

    python3 -m venv venv
    venv/bin/pip install -r requirements.txt
    venv/bin/python make.py

cases.json has for each case its file, the chain that says what stands between its modules (none where the file says enough), the input (ids, or steps x
channels) and the output. It also has the line that converts what torch.save writes, as the message that refuses such a file gives it: the line is run here over
three kinds of files. Everything is seeded, on one thread and in float32.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

import numpy as np
import torch
from safetensors.torch import load_file, save, save_file
from torch import nn
from torch.nn import functional

FOLDER = pathlib.Path(__file__).parent
FOREIGN = FOLDER / "../../../src/foreign.rs"
STEPS, CHANNELS, UNITS = 9, 3, 5

torch.manual_seed(1)
torch.set_num_threads(1)
cases, files = [], {}


def numbers(tensor):
    return [float(value) for value in tensor.detach().reshape(-1)]


def case(name, tensors, compute, chain=None, ids=False, dtype=None):
    """Adds a case; compute has the input, steps x channels or ids, and gives the output."""
    if dtype:
        tensors = {key: value.to(dtype).to(torch.float32) for key, value in tensors.items()}
        compute = compute(tensors)
    x = torch.randint(0, 11, (STEPS,)) if ids else torch.randn(STEPS, CHANNELS)
    with torch.no_grad():
        y = compute(x)
    stored = {key: value.to(dtype) if dtype else value for key, value in tensors.items()}
    files[f"{name}.safetensors"] = save({key: value.contiguous() for key, value in stored.items()})
    cases.append({"name": name, "file": f"{name}.safetensors", "chain": chain, "ids": ids, "x": numbers(x), "y": numbers(y)})


def final(outputs, hidden, module):
    """What the last layer has behind the last step that each direction reads."""
    hidden = hidden[0] if isinstance(hidden, tuple) else hidden
    return torch.cat([hidden[-2], hidden[-1]]) if module.bidirectional else hidden[-1]


def stacks():
    """Recurrent modules alone, the answer being their hidden state at each step, or behind the last one."""
    kinds = [("lstm", nn.LSTM, {}), ("gru", nn.GRU, {}), ("rnn", nn.RNN, {}), ("relu", nn.RNN, {"nonlinearity": "relu"})]
    for kind, make, options in kinds:
        for layers in (1, 2, 3):
            for both in (False, True):
                for bias in (True, False):
                    module = make(CHANNELS, UNITS, layers, bias=bias, bidirectional=both, **options)
                    name = f"{kind}-{layers}{'-both' if both else ''}{'' if bias else '-unbiased'}"
                    relu = " relu" if kind == "relu" else ""
                    word = "lstm" if kind == "lstm" else "gru" if kind == "gru" else "rnn"
                    chain = f"{word}{relu}" if relu else None
                    case(name, module.state_dict(), lambda x, module=module: module(x)[0], chain)
                    case(f"{name}-last", module.state_dict(), lambda x, module=module: final(*module(x), module), f"{word}{relu} > last")
    for layers in (1, 2):
        for both in (False, True):
            module = nn.LSTM(CHANNELS, UNITS, layers, proj_size=3, bidirectional=both)
            name = f"projected-{layers}{'-both' if both else ''}"
            case(name, module.state_dict(), lambda x, module=module: module(x)[0])
            case(f"{name}-last", module.state_dict(), lambda x, module=module: final(*module(x), module), "lstm > last")


class Texts(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.rnn = nn.LSTM(4, UNITS, 2)
        self.fc = nn.Linear(UNITS, 3)

    def forward(self, ids, pool):
        return self.fc(pool(self.rnn(self.embed(ids))[0]))


class Sensor(nn.Module):
    def __init__(self, padding=0, stride=1, norm=True):
        super().__init__()
        self.front = nn.Conv1d(CHANNELS, 4, 3, stride=stride, padding=padding)
        self.norm = nn.LayerNorm(4)
        self.body = nn.Module()
        self.body.gru = nn.GRU(4, UNITS)
        self.body.lstm = nn.LSTM(UNITS, 4)
        self.head = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
        nn.init.uniform_(self.norm.weight)
        nn.init.uniform_(self.norm.bias)

    def forward(self, x, causal=False):
        x = x.T[None]
        x = torch.relu(self.front(functional.pad(x, (2, 0)) if causal else x))[0].T
        x = self.body.lstm(self.body.gru(self.norm(x))[0])[0]
        return self.head(x)


def modules():
    """Modules of several kinds, under names that people give them."""
    texts = Texts()
    for name, pool in [("last", lambda h: h[-1]), ("mean", lambda h: h.mean(0)), ("max", lambda h: h.max(0).values)]:
        chain = f"embed > rnn > {name} > fc"
        case(f"texts-{name}", texts.state_dict(), lambda ids, pool=pool: texts(ids, pool), chain, ids=True)
    case("texts-each", texts.state_dict(), lambda ids: texts(ids, lambda h: h), ids=True)
    case("texts-softmax", texts.state_dict(), lambda ids: torch.softmax(texts(ids, lambda h: h[-1]), -1), "embed > rnn > last > fc softmax", ids=True)
    wrapped = {f"module.{key}": value for key, value in texts.state_dict().items()}
    case("texts-wrapped", wrapped, lambda ids: texts(ids, lambda h: h[-1]), "module.embed > module.rnn > last > module.fc", ids=True)
    renamed = {key.replace("embed.", "table."): value for key, value in texts.state_dict().items()}
    case("texts-renamed", renamed, lambda ids: texts(ids, lambda h: h[-1]), "table embedding > rnn > last > fc", ids=True)
    rest = "relu > norm > gru > body.lstm > 0 relu > head.2"
    for name, options, words in [("valid", {}, ""), ("same", {"padding": 1}, "same "), ("strided", {"stride": 2}, "s2 ")]:
        sensor = Sensor(**options)
        case(f"sensor-{name}", sensor.state_dict(), sensor, f"samples > front {words}{rest}")
    sensor = Sensor()
    case("sensor-causal", sensor.state_dict(), lambda x: sensor(x, causal=True), f"front causal {rest}")
    last = rest.replace(" > 0 relu", " > last > dropout > 0 relu")
    case("sensor-last", sensor.state_dict(), lambda x: sensor(x)[-1], f"conv1d {last}")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):

        def rounded(tensors):
            module = nn.GRU(CHANNELS, UNITS)
            module.load_state_dict(tensors)
            return lambda x: module(x)[0]

        name = str(dtype).split(".")[-1]
        case(f"gru-{name}", nn.GRU(CHANNELS, UNITS).state_dict(), rounded, dtype=dtype)


def conversion():
    """The line of the message, run over files that torch.save writes."""
    text = re.search(r'OF_PYTORCH: &str = "(.*)";', FOREIGN.read_text()).group(1).replace('\\"', '"')
    line = re.search(r'python -c "(.*)"', text).group(1)
    state = Texts().state_dict()
    for content, zipped in [(state, True), ({"state_dict": state, "epoch": 3}, True), (state, False)]:
        with tempfile.TemporaryDirectory() as folder:
            torch.save(content, f"{folder}/net.pth", _use_new_zipfile_serialization=zipped)
            subprocess.run([sys.executable, "-c", line], cwd=folder, check=True)
            found = load_file(f"{folder}/net.safetensors")
            assert found.keys() == state.keys() and all(torch.equal(found[key], state[key]) for key in state)
    return line


def main():
    stacks()
    modules()
    listed = {"torch": torch.__version__, "line": conversion(), "cases": cases}
    with zipfile.ZipFile(FOLDER / "pytorch.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [("cases.json", json.dumps(listed)), *files.items()]:
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    print(f"{len(cases)} cases of PyTorch {torch.__version__}")


main()
