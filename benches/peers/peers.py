"""One round of the engines that have Python packages: checks and times one LSTM step at every size.

    peers.py FOLDER FILE [SIZE...]    reads what `peers prepare` wrote into FOLDER, writes rows to FILE

The rows are those of the Rust program: peer,cell,precision,i,h,ns,difference. What is timed is one call of an engine with the state of the call
before, so the cost of calling it from Python is in each figure; engines are called in the way that copies least.
"""

import os

# Before any engine is loaded: each reads its own.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"
os.environ["GLOG_minloglevel"] = "2"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import logging
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import onnxruntime
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from onnxruntime.quantization import QuantType, quantize_dynamic
import flatbuffers

ROWS = 8
CHECKED_STEPS = 16
ALL_SIZES = ["16x16", "32x32", "64x64", "128x128", "256x256", "1x40"]


class Cell:
    """Weights, inputs and answer as `latch_benches::peers::cell` writes them: row gate*H + unit, gates i, f, g, o."""

    def __init__(self, folder, size):
        data = (folder / f"lstm-{size}.cell").read_bytes()
        self.inputs, self.units = (int(n) for n in np.frombuffer(data, "<u4", 2))
        values = np.frombuffer(data, "<f4", offset=8)
        i, h = self.inputs, self.units
        shapes = [(ROWS, i), (4 * h, i), (4 * h, h), (4 * h,), (h,)]
        parts = np.split(values, np.cumsum([int(np.prod(shape)) for shape in shapes]))
        self.rows, self.kernel, self.recurrent_kernel, self.bias, self.answer = (
            part.reshape(shape).copy() for part, shape in zip(parts, shapes)
        )
        self.onnx = folder / f"lstm-{size}.onnx"


class OnnxRuntime:
    """Outputs are bound to two pairs of buffers in turn, so that the state is never copied."""

    def __init__(self, cell, precision):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        with tempfile.TemporaryDirectory() as folder:
            path = cell.onnx
            if precision == "int8-dynamic":
                path = Path(folder) / "int8.onnx"
                quantize_dynamic(cell.onnx, path, weight_type=QuantType.QInt8, per_channel=False)
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        value = onnxruntime.OrtValue.ortvalue_from_numpy
        rows = [value(row.reshape(1, 1, -1)) for row in cell.rows]
        zeros = np.zeros((1, 1, cell.units), np.float32)
        self.states = [[value(zeros.copy()), value(zeros.copy())] for _ in range(2)]
        self.bindings = []
        for turn in range(2):
            now, following = self.states[turn], self.states[1 - turn]
            self.bindings.append([])
            for row in rows:
                binding = self.session.io_binding()
                for name, bound in zip("xhc", [row, *now]):
                    binding.bind_ortvalue_input(name, bound)
                for name, bound in zip(("h_next", "c_next"), following):
                    binding.bind_ortvalue_output(name, bound)
                self.bindings[turn].append(binding)
        self.turn = 0

    def step(self, row):
        self.session.run_with_iobinding(self.bindings[self.turn][row])
        self.turn = 1 - self.turn

    def hidden(self):
        return self.states[self.turn][0].numpy().ravel()


class PyTorch:
    """`torch.nn.LSTMCell`, whose gates have our order, and the dynamically quantized one that PyTorch makes of it."""

    def __init__(self, cell, precision):
        torch.set_num_threads(1)
        self.cell = torch.nn.LSTMCell(cell.inputs, cell.units)
        with torch.no_grad():
            self.cell.weight_ih.copy_(torch.from_numpy(cell.kernel))
            self.cell.weight_hh.copy_(torch.from_numpy(cell.recurrent_kernel))
            self.cell.bias_ih.copy_(torch.from_numpy(cell.bias))
            self.cell.bias_hh.zero_()
        if precision == "int8-dynamic":
            torch.backends.quantized.engine = "x86"
            module = torch.nn.Sequential(self.cell)
            self.cell = torch.ao.quantization.quantize_dynamic(module, {torch.nn.LSTMCell}, torch.qint8)[0]
            assert "quantized" in type(self.cell).__module__, "PyTorch has quantized nothing"
        self.rows = [torch.from_numpy(row.reshape(1, -1)) for row in cell.rows]
        self.state = (torch.zeros(1, cell.units), torch.zeros(1, cell.units))

    def step(self, row):
        self.state = self.cell(self.rows[row], self.state)

    def hidden(self):
        return self.state[0].numpy().ravel()


class LiteRt:
    """A model of one step, written here as a flat buffer:

    [x, h] -> fully connected -> i, f, g, o -> c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c')

    int8-dynamic: weights in int8 with a scale for each row, the rest in f32, as LiteRT's own converter quantizes dynamically.
    """

    def __init__(self, cell, precision):
        model = lite_model(cell, precision == "int8-dynamic")
        self.interpreter = Interpreter(model_content=model, num_threads=1)
        self.interpreter.allocate_tensors()
        self.x, self.h, self.c = (tensor["index"] for tensor in self.interpreter.get_input_details())
        self.h_next, self.c_next = (tensor["index"] for tensor in self.interpreter.get_output_details())
        self.rows = [row.reshape(1, -1) for row in cell.rows]
        self.interpreter.set_tensor(self.h, np.zeros((1, cell.units), np.float32))
        self.interpreter.set_tensor(self.c, np.zeros((1, cell.units), np.float32))

    def step(self, row):
        lite = self.interpreter
        lite.set_tensor(self.x, self.rows[row])
        lite.invoke()
        lite.set_tensor(self.h, lite.get_tensor(self.h_next))
        lite.set_tensor(self.c, lite.get_tensor(self.c_next))

    def hidden(self):
        return self.interpreter.get_tensor(self.h).ravel()


def lite_model(cell, quantized):
    """The bytes of the flat buffer."""
    i, h = cell.inputs, cell.units
    tensors, buffers, operators, codes = [], [schema.BufferT()], [], []

    def tensor(name, shape, data=None):
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), schema.TensorType.FLOAT32, 0
        if data is not None:
            made.type = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "int32": schema.TensorType.INT32}[
                data.dtype.name
            ]
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            made.buffer = len(buffers)
            buffers.append(buffer)
        tensors.append(made)
        return len(tensors) - 1

    def operator(name, inputs, outputs, options=None, version=1):
        code = (getattr(schema.BuiltinOperator, name), version)
        if code not in codes:
            codes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = codes.index(code), inputs, outputs
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            made.builtinOptionsType, made.builtinOptions = getattr(schema.BuiltinOptions, kind), options
        operators.append(made)
        return outputs[0]

    def unary(name, of, label):
        return operator(name, [of], [tensor(label, (1, h))])

    def binary(name, options, a, b, label):
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE
        return operator(name, [a, b], [tensor(label, (1, h))], options)

    x, hidden, c = tensor("x", (1, i)), tensor("h", (1, h)), tensor("c", (1, h))
    joined = tensor("xh", (1, i + h))
    concatenation = schema.ConcatenationOptionsT()
    concatenation.axis, concatenation.fusedActivationFunction = 1, schema.ActivationFunctionType.NONE
    operator("CONCATENATION", [x, hidden], [joined], concatenation)
    matrix = np.concatenate([cell.kernel, cell.recurrent_kernel], axis=1)
    if quantized:
        scales = np.abs(matrix).max(axis=1) / 127
        weights = tensor("weights", matrix.shape, np.clip(np.rint(matrix / scales[:, None]), -127, 127).astype(np.int8))
        quantization = schema.QuantizationParametersT()
        quantization.scale, quantization.zeroPoint = scales.tolist(), [0] * len(scales)
        quantization.quantizedDimension = 0
        tensors[weights].quantization = quantization
    else:
        weights = tensor("weights", matrix.shape, matrix)
    bias = tensor("bias", (4 * h,), cell.bias)
    z = tensor("z", (1, 4 * h))
    full = schema.FullyConnectedOptionsT()
    full.fusedActivationFunction, full.asymmetricQuantizeInputs = schema.ActivationFunctionType.NONE, quantized
    operator("FULLY_CONNECTED", [joined, weights, bias], [z], full, version=12 if quantized else 1)
    axis = tensor("axis", (), np.array(1, np.int32))
    gates = [tensor(name, (1, h)) for name in ("z_i", "z_f", "z_g", "z_o")]
    split = schema.SplitOptionsT()
    split.numSplits = 4
    operator("SPLIT", [axis, z], gates, split)
    gate_i, gate_f, gate_o = (unary("LOGISTIC", gates[n], name) for n, name in ((0, "i"), (1, "f"), (3, "o")))
    gate_g = unary("TANH", gates[2], "g")
    kept = binary("MUL", schema.MulOptionsT(), gate_f, c, "kept")
    added = binary("MUL", schema.MulOptionsT(), gate_i, gate_g, "added")
    c_next = binary("ADD", schema.AddOptionsT(), kept, added, "c_next")
    shown = unary("TANH", c_next, "shown")
    h_next = binary("MUL", schema.MulOptionsT(), gate_o, shown, "h_next")

    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.name = tensors, operators, "step"
    graph.inputs, graph.outputs = [x, hidden, c], [h_next, c_next]
    model = schema.ModelT()
    model.version, model.description, model.subgraphs, model.buffers = 3, "one LSTM step", [graph], buffers
    model.operatorCodes = []
    for builtin, version in codes:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        model.operatorCodes.append(code)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


PEERS = [
    ("onnxruntime-py", "f32", OnnxRuntime),
    ("onnxruntime-py", "int8-dynamic", OnnxRuntime),
    ("pytorch-py", "f32", PyTorch),
    ("pytorch-py", "int8-dynamic", PyTorch),
    ("litert-py", "f32", LiteRt),
    ("litert-py", "int8-dynamic", LiteRt),
]


def nanoseconds(step):
    """As `latch_benches::peers::clock`: the median over batches of about 20 microseconds, at least 2,000 calls, or 120 ms and 200 calls."""
    clock = time.perf_counter_ns
    number = 0

    def run(calls):
        nonlocal number
        rows = [(number + call) % ROWS for call in range(calls)]
        number += calls
        began = clock()
        for row in rows:
            step(row)
        return clock() - began

    calls, spent = 0, 0
    while spent < 4_000_000:
        spent += run(16)
        calls += 16
    call = max(spent // calls, 1)
    batch = max(20_000 // call, 1)
    wanted = max(min(max(2000, 12_000_000 // call), 120_000_000 // call), 200)
    return statistics.median(run(batch) / batch for _ in range(-(-wanted // batch)))


def measure(name, precision, engine, cell):
    """A line of the file: the answer's difference first, then the time."""
    peer = engine(cell, precision)
    for step in range(CHECKED_STEPS):
        peer.step(step % ROWS)
    hidden = np.array(peer.hidden(), np.float64)
    difference = np.abs(hidden - cell.answer).max() if hidden.shape == cell.answer.shape else np.inf
    ns = nanoseconds(peer.step)
    return f"{name},lstm,{precision},{cell.inputs},{cell.units},{ns:.3f},{difference:.3e}"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    folder, file, sizes = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] or ALL_SIZES
    lines = ["peer,cell,precision,i,h,ns,difference"]
    with torch.inference_mode():
        for size in sizes:
            cell = Cell(folder, size)
            for name, precision, engine in PEERS:
                try:
                    lines.append(measure(name, precision, engine, cell))
                except Exception as error:
                    sys.exit(f"error: {name} {precision} at {size}: {error}")
    file.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
