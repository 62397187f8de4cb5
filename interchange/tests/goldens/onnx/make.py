"""Writes tiny ONNX models, an input of each and what ONNX Runtime computes of it; and the standard's own tests of RNN, GRU and LSTM.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make.py        # onnx.zip

The archive holds the models and `cases.json`: a list of {name, file, until, ids, x, y, sequences}, x and y flat. x is sequences × steps × channels, or
sequences × steps where `ids` is true; y is sequences × answers, those of a step side by side. `until` names the output that y is.

The tests of the standard (onnx/backend/test/data/node) give W, R, B and states as inputs of the graph: here they are initializers with the values of the
test's data, and y is the output that the test's data expect.
"""

import io
import json
import os
import tempfile
import zipfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
STEPS, SEQUENCES, CHANNELS, UNITS, WORDS = 5, 2, 3, 4, 7
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CASES, FILES = [], []


class Graph:
    """A graph while it is built: weights by a seed, one node a call."""

    def __init__(self, seed=7):
        self.random = np.random.default_rng(seed)
        self.nodes, self.initializers, self.inputs, self.count = [], [], [], 0

    def name(self, kind):
        self.count += 1
        return f"{kind.lower()}_{self.count}"

    def weight(self, *shape, scale=0.5):
        return (scale * self.random.normal(size=shape)).astype("float32")

    def constant(self, value, kind="weight"):
        name = self.name(kind)
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def ints(self, *values):
        return self.constant(np.array(values, dtype="int64"), "ints")

    def node(self, kind, *inputs, outputs=1, **options):
        """A node; its only output, or the list of them. Inputs are names, arrays, or "" for a slot that is left out."""
        inputs = [self.constant(value) if isinstance(value, np.ndarray) else value for value in inputs]
        names = [self.name(kind) for _ in range(outputs)] if isinstance(outputs, int) else outputs
        name = options.pop("name", names[0] or self.name(kind))
        self.nodes.append(helper.make_node(kind, inputs, names, name=name, **options))
        return names[0] if outputs == 1 else names

    def input(self, shape, name="x", kind=TensorProto.FLOAT):
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def recurrent(self, kind, x, inputs=CHANNELS, units=UNITS, direction="forward", outputs=3, slots=None, bias=True, **options):
        """RNN, GRU or LSTM with random weights; `slots` are the inputs behind B, and `outputs` the names or the number of outputs."""
        count = 2 if direction == "bidirectional" else 1
        rows = GATES[kind] * units
        if outputs == 3 and kind != "LSTM":
            outputs = 2
        tensors = [self.weight(count, rows, inputs), self.weight(count, rows, units)]
        tensors.append(self.weight(count, 2 * rows) if bias else "")
        return self.node(kind, x, *tensors, *(slots or []), outputs=outputs, hidden_size=units, direction=direction, **options)

    def dense(self, x, inputs, outputs):
        return self.node("Add", self.node("MatMul", x, self.weight(inputs, outputs)), self.weight(outputs))

    def model(self, *outputs, opset=17, producer="latch goldens", domains=()):
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "golden", self.inputs, values, self.initializers)
        sets = [helper.make_opsetid("", opset), *[helper.make_opsetid(domain, 1) for domain in domains]]
        return helper.make_model(graph, opset_imports=sets, ir_version=8, producer_name=producer)


def computed(model, feeds, output=None):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run([output] if output else None, feeds)[0]


def series(order="sbf", steps=STEPS, channels=CHANNELS, sequences=SEQUENCES, seed=1):
    """Samples in this order of their axes: s steps, b sequences, f features."""
    x = np.random.default_rng(seed).normal(size=(sequences, steps, channels)).astype("float32")
    return np.transpose(x, ["bsf".index(axis) for axis in order])


def record(name, model, x, y, order, answers, until=None, ids=False):
    """Adds a case. `order` says the axes of x, `answers` those of y: b stands first in the archive, then s, then the others in their order."""
    file = f"{name}.onnx"
    x = np.transpose(x, [order.index(axis) for axis in ("bs" if ids else "bsf") if axis in order])
    places = sorted(range(len(answers)), key=lambda place: ("bs".index(answers[place]) if answers[place] in "bs" else 2, place))
    y = np.transpose(y, places)
    flat = lambda values: [float(value) for value in np.asarray(values, dtype="float64").reshape(-1)]
    sequences = x.shape[0] if "b" in order else 1
    CASES.append({"name": name, "file": file, "until": until, "ids": ids, "x": flat(x), "y": flat(y), "sequences": sequences})
    if all(known != file for known, _ in FILES):
        FILES.append((file, model if isinstance(model, bytes) else model.SerializeToString()))


def case(name, graph, outputs, x, order="sbf", answers="sbf", judge=None, until=None, **options):
    """A case that ONNX Runtime judges: the model itself, or another one that computes the same and that it can run."""
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    model = graph.model(*outputs, **options)
    ids = x.dtype.kind == "i"
    feeds = {graph.inputs[0].name: x}
    y = judge if judge is not None else computed(model, feeds, until or outputs[0])
    record(name, model, x, y, order, answers, until, ids)


def node_tests():
    """The tests of the standard."""
    folder = os.path.join(os.path.dirname(onnx.__file__), "backend", "test", "data", "node")
    for test in sorted(os.listdir(folder)):
        if not any(kind in test for kind in ["_rnn", "_lstm", "_gru"]):
            continue
        model = onnx.load(os.path.join(folder, test, "model.onnx"))
        data = os.path.join(folder, test, "test_data_set_0")

        def values(kind, count):
            read = lambda number: onnx.load_tensor(os.path.join(data, f"{kind}_{number}.pb"))
            return [numpy_helper.to_array(read(number)) for number in range(count)]

        inputs, outputs = list(model.graph.input), list(model.graph.output)
        arrays = values("input", len(inputs))
        for value, array in zip(inputs[1:], arrays[1:]):
            model.graph.initializer.append(numpy_helper.from_array(array, value.name))
        del model.graph.input[1:]
        batchwise = "batchwise" in test
        order = "bsf" if batchwise else "sbf"
        for output, expected in zip(outputs, values("output", len(outputs))):
            axes = {"Y": "bsdf" if batchwise else "sdbf", "Y_h": "bdf" if batchwise else "dbf"}[output.name]
            name = f"{test}-{output.name}" if len(outputs) > 1 else test
            until = output.name if len(outputs) > 1 else None
            record(name, model, arrays[0], expected, order, axes, until)
            CASES[-1]["file"] = f"{test}.onnx"
            if all(known != f"{test}.onnx" for known, _ in FILES):
                FILES.append((f"{test}.onnx", model.SerializeToString()))
        FILES[:] = [(file, data) for file, data in FILES if file == f"{test}.onnx" or not file.startswith(f"{test}-")]


def directions():
    for kind in GATES:
        for direction in ["forward", "reverse", "bidirectional"]:
            graph = Graph()
            y = graph.recurrent(kind, graph.input([STEPS, SEQUENCES, CHANNELS]), direction=direction)[0]
            case(f"{kind}-{direction}-steps".lower(), graph, y, series(), answers="sdbf")
            graph = Graph()
            last = graph.recurrent(kind, graph.input([None, None, CHANNELS]), direction=direction, outputs=["", "last"])[1]
            case(f"{kind}-{direction}-last".lower(), graph, last, series(), answers="dbf")


def options():
    x = lambda graph: graph.input([STEPS, SEQUENCES, CHANNELS])

    def of(name, kind, seed=7, slots=None, outputs=3, **options):
        graph = Graph(seed)
        y = graph.recurrent(kind, x(graph), slots=slots(graph) if slots else None, outputs=outputs, **options)[0]
        case(name, graph, y, series(), answers="sdbf")

    of("gru-reset-after", "GRU", linear_before_reset=1)
    of("gru-reset-after-both", "GRU", linear_before_reset=1, direction="bidirectional")
    for kind in GATES:
        of(f"{kind}-clip".lower(), kind, clip=0.3)
        of(f"{kind}-no-bias".lower(), kind, bias=False)
    of("gru-reset-after-clip", "GRU", linear_before_reset=1, clip=0.3)
    of("rnn-relu", "RNN", activations=["Relu"])
    of("rnn-leaky", "RNN", activations=["LeakyRelu"], activation_alpha=[0.3])
    of("rnn-thresholded", "RNN", activations=["ThresholdedRelu"], activation_alpha=[0.2])
    of("rnn-elu", "RNN", activations=["Elu"], activation_alpha=[0.7])
    of("rnn-softplus", "RNN", activations=["Softplus"])
    of("rnn-affine-both", "RNN", direction="bidirectional", activations=["Affine", "Softsign"], activation_alpha=[0.4], activation_beta=[0.1])
    of("gru-activations", "GRU", activations=["HardSigmoid", "Softsign"], activation_alpha=[0.2], activation_beta=[0.5])
    of("lstm-activations", "LSTM", activations=["HardSigmoid", "ScaledTanh", "Relu"], activation_alpha=[0.3, 1.2], activation_beta=[0.4, 0.6])
    both = ["Sigmoid", "Tanh", "Softsign", "HardSigmoid", "Elu", "Tanh"]
    of("lstm-activations-both", "LSTM", direction="bidirectional", activations=both, activation_alpha=[0.25, 0.8], activation_beta=[0.45])
    of("lstm-cells", "LSTM", activations=["Sigmoid", "Tanh", "Softsign"])
    of("lstm-hard-sigmoid", "LSTM", activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[1 / 6], activation_beta=[0.5])
    of("lstm-coupled", "LSTM", input_forget=1)

    def states(graph, count=1, peepholes=True, cell=True):
        each = lambda: np.repeat(graph.weight(count, 1, UNITS), SEQUENCES, axis=1)
        more = [graph.weight(count, 3 * UNITS)] if peepholes else []
        return ["", each(), *([each()] if cell else []), *more]

    of("lstm-states", "LSTM", slots=lambda graph: states(graph, peepholes=False))
    of("lstm-states-both", "LSTM", slots=lambda graph: states(graph, 2, peepholes=False), direction="bidirectional")
    of("gru-states", "GRU", slots=lambda graph: states(graph, peepholes=False, cell=False))
    of("rnn-states", "RNN", slots=lambda graph: states(graph, peepholes=False, cell=False))
    of("lstm-peepholes", "LSTM", slots=lambda graph: ["", "", "", graph.weight(1, 3 * UNITS)])
    of("lstm-peepholes-both", "LSTM", slots=lambda graph: states(graph, 2), direction="bidirectional")
    of("lstm-large-cell-clip", "LSTM", slots=lambda graph: ["", "", 3 * np.repeat(graph.weight(1, 1, UNITS), SEQUENCES, axis=1)], clip=0.4)
    of("lstm-peepholes-coupled-clip", "LSTM", slots=states, input_forget=1, clip=0.4)
    lengths = np.full(SEQUENCES, STEPS, dtype="int32")
    of("lstm-all-lengths", "LSTM", slots=lambda graph: [lengths])
    of("lstm-lengths-and-reverse", "LSTM", slots=lambda graph: [lengths], direction="reverse")


    graph = Graph()
    y = graph.recurrent("LSTM", x(graph), slots=states(graph, peepholes=False), outputs=["y", ""])[0]
    case("states-dense", graph, graph.dense(graph.node("Squeeze", y, graph.ints(1)), UNITS, 1), series())


def layouts():
    """ONNX Runtime has no layout 1: what it computes of the same weights in the layout 0 is what must come out."""
    for kind in GATES:
        for direction in ["forward", "bidirectional"]:
            for number, answers in enumerate(["bsdf", "bdf"]):
                graph, judge = Graph(), Graph()
                y = graph.recurrent(kind, graph.input([SEQUENCES, STEPS, CHANNELS]), direction=direction, layout=1)[number]
                other = judge.recurrent(kind, judge.input([STEPS, SEQUENCES, CHANNELS]), direction=direction)[number]
                expected = computed(judge.model(other), {"x": series()})
                expected = np.moveaxis(expected, {4: 2, 3: 1}[expected.ndim], 0)
                name = f"{kind}-{direction}-layout-1-{['steps', 'last'][number]}".lower()
                case(name, graph, y, series("bsf"), order="bsf", answers=answers, judge=expected)


def torch_like():
    """Graphs as torch.onnx writes them: batch_first, states of zeros whose size is computed, Gemm heads."""
    graph = Graph()
    x = graph.input(["batch", "steps", CHANNELS])
    sizes = graph.node("Shape", x)
    batch = graph.node("Gather", sizes, graph.constant(np.array(0, dtype="int64")), axis=0)
    batch = graph.node("Unsqueeze", batch, graph.ints(0))
    shape = graph.node("Concat", graph.ints(1), batch, graph.ints(UNITS), axis=0)
    zeros = graph.node("ConstantOfShape", shape, value=numpy_helper.from_array(np.zeros(1, dtype="float32")))
    flow = graph.node("Transpose", x, perm=[1, 0, 2])
    for inputs in [CHANNELS, UNITS]:
        y = graph.recurrent("LSTM", flow, inputs, slots=["", zeros, zeros])[0]
        flow = graph.node("Squeeze", y, graph.ints(1))
    flow = graph.node("Transpose", flow, perm=[1, 0, 2])
    last = graph.node("Gather", flow, graph.constant(np.array(-1, dtype="int64")), axis=1)
    out = graph.node("Gemm", last, graph.weight(1, UNITS), graph.weight(1), transB=1)
    case("torch-stacked", graph, out, series("bsf"), order="bsf", answers="bf", producer="pytorch")

    graph = Graph()
    x = graph.input([STEPS, SEQUENCES, CHANNELS])
    y = graph.recurrent("LSTM", x, direction="bidirectional")[0]
    y = graph.node("Reshape", graph.node("Transpose", y, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))
    y = graph.recurrent("GRU", y, 2 * UNITS, direction="bidirectional", linear_before_reset=1)[0]
    y = graph.node("Reshape", graph.node("Transpose", y, perm=[0, 2, 1, 3]), graph.ints(0, 0, -1))
    y = graph.dense(y, 2 * UNITS, 3)
    case("torch-bidirectional-stack", graph, graph.node("Softmax", y, axis=-1), series(), answers="sbf")

    graph = Graph()
    x = graph.input([STEPS, SEQUENCES, CHANNELS])
    last = graph.recurrent("LSTM", x, direction="bidirectional", outputs=["", "last"])[1]
    parts = [graph.node("Gather", last, graph.constant(np.array(place, dtype="int64")), axis=0) for place in (-2, -1)]
    out = graph.node("Gemm", graph.node("Concat", *parts, axis=1), graph.weight(2 * UNITS, 2), graph.weight(2), alpha=0.5, beta=2.0)
    case("torch-both-last", graph, out, series(), answers="bf")

    graph = Graph()
    last = graph.recurrent("GRU", graph.input([STEPS, SEQUENCES, CHANNELS]), direction="bidirectional", outputs=["", "last"])[1]
    out = graph.node("Gather", last, graph.constant(np.array(1, dtype="int64")), axis=0)
    case("torch-only-back", graph, graph.dense(out, UNITS, 2), series(), answers="bf")

    for merge, joined in [("sum", "Add"), ("product", "Mul")]:
        graph = Graph()
        y = graph.recurrent("LSTM", graph.input([STEPS, SEQUENCES, CHANNELS]), direction="bidirectional")[0]
        parts = [graph.node("Gather", y, graph.constant(np.array(place, dtype="int64")), axis=1) for place in (0, 1)]
        case(f"both-{merge}", graph, graph.dense(graph.node(joined, *parts), UNITS, 2), series(), answers="sbf")
    graph = Graph()
    y = graph.recurrent("LSTM", graph.input([STEPS, SEQUENCES, CHANNELS]), direction="bidirectional")[0]
    mean = graph.node("ReduceMean", y, axes=[1], keepdims=0)
    case("both-mean", graph, graph.dense(mean, UNITS, 2), series(), answers="sbf")

    graph = Graph()
    ids = graph.input([SEQUENCES, STEPS], "ids", TensorProto.INT64)
    flow = graph.node("Gather", graph.weight(WORDS, 3), ids)
    flow = graph.node("Transpose", flow, perm=[1, 0, 2])
    last = graph.recurrent("LSTM", flow, outputs=["", "last"])[1]
    out = graph.node("Gemm", graph.node("Squeeze", last, graph.ints(0)), graph.weight(1, UNITS), graph.weight(1), transB=1)
    words = np.array([[3, 1, 6, 2, 5], [0, 4, 4, 1, 2]], dtype="int64")
    case("torch-embedding", graph, graph.node("Sigmoid", out), words, order="bs", answers="bf")

    # Old exports make the gates' order of ONNX by slices of PyTorch's tensors.
    graph = Graph()
    flow = graph.input([STEPS, SEQUENCES, CHANNELS])

    def reordered(*shape):
        whole = graph.constant(graph.weight(4 * UNITS, *shape))
        part = lambda first: graph.node("Slice", whole, graph.ints(first * UNITS), graph.ints((first + 1) * UNITS), graph.ints(0))
        return graph.node("Concat", part(0), part(3), graph.node("Slice", whole, graph.ints(UNITS), graph.ints(3 * UNITS), graph.ints(0)), axis=0)

    kernels = [graph.node("Unsqueeze", reordered(inputs), graph.ints(0)) for inputs in (CHANNELS, UNITS)]
    bias = graph.node("Unsqueeze", graph.node("Concat", reordered(), reordered(), axis=0), graph.ints(0))
    y = graph.node("LSTM", flow, *kernels, bias, outputs=["y", ""], hidden_size=UNITS)[0]
    case("torch-old-slices", graph, graph.node("Squeeze", y, graph.ints(1)), series())

    # A squeeze within an If whose condition is a constant.
    graph = Graph()
    y = graph.recurrent("LSTM", graph.input([STEPS, SEQUENCES, CHANNELS]), outputs=["y", ""])[0]
    then = helper.make_graph(
        [helper.make_node("Constant", [], ["axes"], value_ints=[1]), helper.make_node("Squeeze", [y, "axes"], ["squeezed"])],
        "then", [], [helper.make_tensor_value_info("squeezed", TensorProto.FLOAT, None)])
    other = helper.make_graph([helper.make_node("Identity", [y], ["same"])], "else", [], [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)])
    size = graph.node("Gather", graph.node("Shape", y), graph.constant(np.array(1, dtype="int64")), axis=0)
    one = graph.node("Equal", size, graph.constant(np.array(1, dtype="int64")))
    out = graph.node("If", one, then_branch=then, else_branch=other)
    case("torch-if-squeeze", graph, graph.dense(out, UNITS, 2), series())

    # Weights within the branches of an If.
    graph = Graph()
    flow = graph.input([STEPS, SEQUENCES, CHANNELS])
    branches = []
    for scale, name in [(0.3, "then"), (0.9, "else")]:
        tensor = numpy_helper.from_array(graph.weight(1, 4 * UNITS, CHANNELS, scale=scale), f"w_{name}")
        node = helper.make_node("Identity", [f"w_{name}"], [f"out_{name}"])
        branches.append(helper.make_graph([node], name, [], [helper.make_tensor_value_info(f"out_{name}", TensorProto.FLOAT, None)], [tensor]))
    kernel = graph.node("If", graph.constant(np.array(False)), then_branch=branches[0], else_branch=branches[1])
    y = graph.node("LSTM", flow, kernel, graph.weight(1, 4 * UNITS, UNITS), outputs=["y", ""], hidden_size=UNITS)[0]
    case("weights-in-if", graph, y, series(), answers="sdbf")

    # One step a call, its state in and out.
    graph = Graph()
    flow = graph.input([1, 1, CHANNELS])
    h, c = (graph.input([1, 1, UNITS], name) for name in ("h_in", "c_in"))
    y, h_out, c_out = graph.recurrent("LSTM", flow, slots=["", h, c], outputs=["y", "h_out", "c_out"])
    out = graph.dense(graph.node("Squeeze", y, graph.ints(0, 1)), UNITS, 1)
    model = graph.model(out, h_out, c_out)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x, state, answers = series(sequences=1), [np.zeros((1, 1, UNITS), "float32")] * 2, []
    for step in x:
        answer, *state = session.run(None, {"x": step[None], "h_in": state[0], "c_in": state[1]})
        answers.append(answer)
    record("step-by-step", model, x, np.stack(answers).reshape(STEPS, 1, 1), "sbf", "sbf")


    # Two layers, whose states are parts of one input.
    graph = Graph()
    flow = graph.input([1, 1, CHANNELS])
    h, c = (graph.input([2, 1, UNITS], name) for name in ("h_in", "c_in"))
    inputs, states = CHANNELS, []
    for layer in (0, 1):
        of_layer = [graph.node("Slice", state, graph.ints(layer), graph.ints(layer + 1), graph.ints(0)) for state in (h, c)]
        y, *state = graph.recurrent("LSTM", flow, inputs, slots=["", *of_layer])
        flow, inputs = graph.node("Squeeze", y, graph.ints(1)), UNITS
        states.append(state)
    h_out, c_out = (graph.node("Concat", *pair, axis=0) for pair in zip(*states))
    out = graph.dense(flow, UNITS, 2)
    model = graph.model(out, h_out, c_out)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    state, answers = [np.zeros((2, 1, UNITS), "float32")] * 2, []
    for step in x:
        answer, *state = session.run(None, {"x": step[None], "h_in": state[0], "c_in": state[1]})
        answers.append(answer)
    record("step-by-step-stacked", model, x, np.stack(answers).reshape(STEPS, 1, 2), "sbf", "sbf")


def tf_like():
    """Graphs as tf2onnx writes them of Keras: steps first by a transpose, MatMul and Add, convolutions in four axes."""
    graph = Graph()
    flow = graph.node("Transpose", graph.input(["n", STEPS, CHANNELS]), perm=[1, 0, 2])
    zeros = np.zeros((1, 1, UNITS), dtype="float32")
    size = graph.node("Slice", graph.node("Shape", flow), graph.ints(1), graph.ints(2), graph.ints(0))
    states = graph.node("Expand", zeros, graph.node("Concat", graph.ints(1), size, graph.ints(UNITS), axis=0))
    y = graph.recurrent("LSTM", flow, slots=["", states, states], outputs=["y", ""])[0]
    y = graph.node("Transpose", graph.node("Squeeze", y, graph.ints(1)), perm=[1, 0, 2])
    rows = graph.node("Reshape", y, graph.ints(-1, UNITS))
    rows = graph.node("Relu", graph.dense(rows, UNITS, 3))
    y = graph.node("Reshape", rows, graph.ints(-1, STEPS, 3))
    case("tf-time-distributed", graph, graph.dense(y, 3, 1), series("bsf"), order="bsf", answers="bsf", producer="tf2onnx")

    graph = Graph()
    flow = graph.node("Transpose", graph.input(["n", STEPS, CHANNELS]), perm=[1, 0, 2])
    parts = []
    for direction in ["forward", "reverse"]:
        last = graph.recurrent("LSTM", flow, direction=direction, outputs=["", graph.name("last")])[1]
        parts.append(graph.node("Squeeze", last, graph.ints(0)))
    y = graph.node("Softmax", graph.dense(graph.node("Concat", *parts, axis=-1), 2 * UNITS, 3))
    case("tf-two-nodes-last", graph, y, series("bsf"), order="bsf", answers="bf")

    graph = Graph()
    flow = graph.node("Transpose", graph.input(["n", STEPS, CHANNELS]), perm=[1, 0, 2])
    parts = []
    for direction in ["forward", "reverse"]:
        y = graph.recurrent("GRU", flow, direction=direction, outputs=[graph.name("y"), ""])[0]
        parts.append(graph.node("Squeeze", y, graph.ints(1)))
    y = graph.node("Concat", *parts, axis=2)
    case("tf-two-nodes-steps", graph, graph.dense(y, 2 * UNITS, 3), series("bsf"), order="bsf", answers="sbf")

    # What Keras calls go_backwards, and its outputs brought back to their steps.
    for name, again in [("tf-backwards", False), ("tf-backwards-aligned", True)]:
        graph = Graph()
        lengths = graph.constant(np.full(SEQUENCES, STEPS, dtype="int64"))
        flow = graph.node("ReverseSequence", graph.input([STEPS, SEQUENCES, CHANNELS]), lengths, time_axis=0, batch_axis=1)
        flow = graph.node("Squeeze", graph.recurrent("LSTM", flow, outputs=["y", ""])[0], graph.ints(1))
        if again:
            flow = graph.node("ReverseSequence", flow, lengths, time_axis=0, batch_axis=1)
        case(name, graph, graph.dense(graph.node("Tanh", flow), UNITS, 2), series())
    graph = Graph()
    lengths = np.full(SEQUENCES, STEPS, dtype="int64")
    flow = graph.node("ReverseSequence", graph.input([STEPS, SEQUENCES, CHANNELS]), lengths, time_axis=0, batch_axis=1)
    last = graph.recurrent("GRU", flow, outputs=["", "last"])[1]
    case("tf-backwards-last", graph, last, series(), answers="dbf")

    graph = Graph()
    flow = graph.node("Transpose", graph.input(["n", STEPS, CHANNELS]), perm=[0, 2, 1])
    flow = graph.node("Unsqueeze", flow, graph.ints(2))
    flow = graph.node("Conv", flow, graph.weight(3, CHANNELS, 1, 2), graph.weight(3), pads=[0, 1, 0, 0], kernel_shape=[1, 2])
    flow = graph.node("Relu", graph.node("Squeeze", flow, graph.ints(2)))
    flow = graph.node("Transpose", flow, perm=[2, 0, 1])
    last = graph.recurrent("GRU", flow, 3, outputs=["", "last"], linear_before_reset=1)[1]
    y = graph.dense(graph.node("Squeeze", last, graph.ints(0)), UNITS, 2)
    case("tf-conv-gru", graph, y, series("bsf"), order="bsf", answers="bf")


def windows():
    x = lambda graph, steps=8: graph.input([SEQUENCES, CHANNELS, steps])
    sound = lambda: series("bfs", steps=8)
    graph = Graph()
    flow = graph.node("Pad", x(graph), graph.ints(0, 0, 2, 0, 0, 0))
    flow = graph.node("Relu", graph.node("Conv", flow, graph.weight(4, CHANNELS, 3), graph.weight(4)))
    case("conv-causal", graph, graph.node("Conv", flow, graph.weight(2, 4, 1)), sound(), order="bfs", answers="bfs")
    for name, kernel, options in [
        ("valid", 3, {}), ("valid-stride", 3, {"strides": [2]}), ("same", 3, {"pads": [1, 1]}),
        ("same-upper", 4, {"auto_pad": "SAME_UPPER"}), ("causal-stride", 3, {"pads": [2, 0], "strides": [2]}),
    ]:
        graph = Graph()
        flow = graph.node("Conv", x(graph), graph.weight(4, CHANNELS, kernel), graph.weight(4), **options)
        case(f"conv-{name}", graph, flow, sound(), order="bfs", answers="bfs")
    graph = Graph()
    flow = graph.node("Conv", x(graph), graph.weight(4, CHANNELS, 3), graph.weight(4), pads=[2, 0])
    norm = [graph.weight(4), graph.weight(4), graph.weight(4), np.abs(graph.weight(4)) + 0.5]
    flow = graph.node("Tanh", graph.node("BatchNormalization", flow, *norm))
    flow = graph.node("MaxPool", flow, kernel_shape=[2], strides=[2])
    flow = graph.node("Transpose", flow, perm=[2, 0, 1])
    last = graph.recurrent("LSTM", flow, 4, outputs=["", "last"])[1]
    case("conv-norm-pool-lstm", graph, last, sound(), order="bfs", answers="dbf")
    for name, kind in [("mean", "ReduceMean"), ("max", "ReduceMax")]:
        graph = Graph()
        y = graph.recurrent("GRU", graph.input([STEPS, SEQUENCES, CHANNELS]), outputs=["y", ""])[0]
        y = graph.node(kind, graph.node("Squeeze", y, graph.ints(1)), axes=[0], keepdims=0)
        case(f"pooled-{name}", graph, graph.dense(y, UNITS, 2), series(), answers="bf")
    graph = Graph()
    flow = graph.node("Conv", x(graph), graph.weight(4, CHANNELS, 3), graph.weight(4))
    flow = graph.node("Flatten", graph.node("GlobalAveragePool", flow))
    case("pooled-global", graph, graph.dense(flow, 4, 2), sound(), order="bfs", answers="bf")


def norms():
    graph = Graph()
    x = graph.input([STEPS, SEQUENCES, CHANNELS])
    flow = graph.node("Div", graph.node("Sub", x, graph.weight(CHANNELS)), np.abs(graph.weight(CHANNELS)) + 0.5)
    y = graph.recurrent("LSTM", flow, outputs=["y", ""])[0]
    y = graph.node("LayerNormalization", graph.node("Squeeze", y, graph.ints(1)), graph.weight(UNITS), graph.weight(UNITS), epsilon=1e-3)
    y = graph.node("HardSigmoid", graph.dense(y, UNITS, 2), alpha=0.25, beta=0.4)
    case("norms", graph, y, series())
    # As exports before version 17 spell it out.
    graph = Graph()
    x = graph.node("Squeeze", graph.recurrent("GRU", graph.input([STEPS, SEQUENCES, CHANNELS]), outputs=["y", ""])[0], graph.ints(1))
    centered = graph.node("Sub", x, graph.node("ReduceMean", x, axes=[-1]))
    square = graph.node("Pow", centered, np.array(2, dtype="float32"))
    root = graph.node("Sqrt", graph.node("Add", graph.node("ReduceMean", square, axes=[-1]), np.array(1e-3, dtype="float32")))
    y = graph.node("Div", centered, root)
    y = graph.node("Add", graph.node("Mul", y, graph.weight(UNITS)), graph.weight(UNITS))
    case("norm-spelled-out", graph, graph.dense(y, UNITS, 2), series(), opset=13)
    graph = Graph()
    x = graph.input([STEPS, SEQUENCES, CHANNELS])
    y = graph.node("Squeeze", graph.recurrent("RNN", x, outputs=["y", ""])[0], graph.ints(1))
    y = graph.node("Add", graph.node("Mul", y, graph.weight(UNITS)), np.array(0.3, dtype="float32"))
    y = graph.node("LeakyRelu", y, alpha=0.1)
    y = graph.recurrent("LSTM", graph.node("Sub", np.array(1.0, dtype="float32"), y), UNITS, direction="bidirectional")[0]
    y = graph.node("Reshape", graph.node("Transpose", y, perm=[0, 2, 1, 3]), graph.ints(STEPS, SEQUENCES, 2 * UNITS))
    case("scales-between", graph, y, series())


def weights():
    """Where weights are and what types they have."""
    def plain(name, place, judge=None):
        graph = Graph()
        x = graph.input([STEPS, SEQUENCES, CHANNELS])
        tensors = [graph.weight(1, 4 * UNITS, CHANNELS), graph.weight(1, 4 * UNITS, UNITS), graph.weight(1, 8 * UNITS)]
        y = graph.node("LSTM", x, *[place(graph, tensor) for tensor in tensors], outputs=["y", ""], hidden_size=UNITS)[0]
        case(name, graph, y, series(), answers="sdbf")

    plain("weights-constant", lambda graph, tensor: graph.node("Constant", value=numpy_helper.from_array(tensor)))
    plain("weights-identity", lambda graph, tensor: graph.node("Identity", graph.node("Identity", tensor)))
    plain("weights-float16", lambda graph, tensor: graph.node("Cast", tensor.astype("float16"), to=TensorProto.FLOAT))
    plain("weights-double", lambda graph, tensor: graph.node("Cast", tensor.astype("float64"), to=TensorProto.FLOAT))

    def typed(kind, numpy_kind):
        def of(graph, tensor):
            name = graph.name("weight")
            # Without raw_data: float_data, int32_data or double_data.
            graph.initializers.append(helper.make_tensor(name, kind, tensor.shape, tensor.astype(numpy_kind).reshape(-1)))
            return name if kind == TensorProto.FLOAT else graph.node("Cast", name, to=TensorProto.FLOAT)
        return of

    plain("weights-float-data", typed(TensorProto.FLOAT, "float32"))
    plain("weights-float16-data", typed(TensorProto.FLOAT16, "float16"))
    plain("weights-double-data", typed(TensorProto.DOUBLE, "float64"))
    plain("weights-bfloat16", typed(TensorProto.BFLOAT16, "float32"))

    def quantized(graph, tensor):
        scale = np.float32(np.abs(tensor).max() / 127)
        values = np.clip(np.round(tensor / scale), -128, 127).astype("int8")
        return graph.node("DequantizeLinear", values, np.array(scale), np.array(0, dtype="int8"))

    plain("weights-int8", quantized)

    def by_axis(graph, tensor):
        scale = np.abs(tensor).reshape(-1, tensor.shape[-1]).max(axis=0) / 100
        values = np.clip(np.round(tensor / scale) + 3, 0, 255).clip(-128, 127).astype("int8")
        zero = np.full(tensor.shape[-1], 3, dtype="int8")
        return graph.node("DequantizeLinear", values, scale.astype("float32"), zero, axis=-1)

    plain("weights-int8-by-axis", by_axis)


def dynamic():
    """DynamicQuantizeLSTM as ONNX Runtime's quantizer writes it. Judged is the LSTM of its weights in floats: the operator rounds its inputs too."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for suffix, by_channel in [("", False), ("-by-channel", True)]:
        for direction in ["forward", "bidirectional"]:
            graph = Graph()
            y = graph.recurrent("LSTM", graph.input([STEPS, SEQUENCES, CHANNELS]), direction=direction, outputs=["y", ""])[0]
            with tempfile.TemporaryDirectory() as folder:
                paths = [os.path.join(folder, name) for name in ("float.onnx", "int8.onnx")]
                onnx.save(graph.model(y), paths[0])
                quantize_dynamic(*paths, op_types_to_quantize=["LSTM"], per_channel=by_channel, weight_type=QuantType.QInt8)
                model = onnx.load(paths[1])
            node = next(node for node in model.graph.node if node.op_type == "DynamicQuantizeLSTM")
            tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
            floats = Graph()
            x = floats.input([STEPS, SEQUENCES, CHANNELS])
            kernels = []
            for slot, scale in [(1, 8), (2, 10)]:
                values, scale, zero = (tensors[node.input[place]] for place in (slot, scale, scale + 1))
                side = (lambda a: a[:, None, :]) if scale.ndim == 2 else (lambda a: a.reshape(-1, 1, 1))
                worth = side(scale) * (values.astype("float32") - side(zero).astype("float32"))
                kernels.append(np.transpose(worth, [0, 2, 1]))
            judge = floats.node("LSTM", x, *kernels, tensors[node.input[3]], outputs=["y", ""], hidden_size=UNITS, direction=direction)[0]
            expected = computed(floats.model(judge), {"x": series()})
            record(f"dynamic-{direction}{suffix}", model, series(), expected, "sbf", "sdbf")


class Cell:
    """Cells in elementary operators: one step, by weights of PyTorch's shapes, with the rows of the gates in any order."""

    def __init__(self, graph, inputs=CHANNELS, units=UNITS):
        self.graph, self.inputs, self.units = graph, inputs, units

    def sums(self, x, h, gates, how="split"):
        """W·x + U·h + b of so many gates: one product and a Split or Slices of it, a product for each gate, or one product of both side by side."""
        graph, units = self.graph, self.units
        if how == "apart":
            of = lambda: graph.node("Add", graph.node("MatMul", x, graph.weight(self.inputs, units)), graph.node("MatMul", h, graph.weight(units, units)))
            return [graph.node("Add", of(), graph.weight(units)) for _ in range(gates)]
        if how == "concat":
            both = graph.node("Concat", x, h, axis=-1)
            z = graph.node("Add", graph.node("MatMul", both, graph.weight(self.inputs + units, gates * units)), graph.weight(gates * units))
        else:
            of_x = graph.node("Gemm", x, graph.weight(gates * units, self.inputs), graph.weight(gates * units), transB=1)
            of_h = graph.node("Gemm", h, graph.weight(gates * units, units), graph.weight(gates * units), transB=1)
            z = graph.node("Add", of_h, of_x)
        return self.blocks(z, gates, how)

    def blocks(self, z, gates, how="split"):
        graph, units = self.graph, self.units
        if how == "slice":
            return [graph.node("Slice", z, graph.ints(gate * units), graph.ints((gate + 1) * units), graph.ints(-1)) for gate in range(gates)]
        return graph.node("Split", z, graph.ints(*[units] * gates), outputs=gates, axis=-1)

    def lstm(self, x, h, c, how="split", order="ifgo", gate="Sigmoid", candidate="Tanh", out="Tanh", forget=0.0, name=None):
        """The next h and c, with the gates' rows in this order."""
        node = self.graph.node
        sums = dict(zip(order, self.sums(x, h, 4, how)))
        if forget:
            sums["f"] = node("Add", sums["f"], np.array(forget, dtype="float32"))
        i, f, o = (node(gate, sums[key]) for key in "ifo")
        c = node("Add", node("Mul", i, node(candidate, sums["g"])), node("Mul", f, c))
        return node("Mul", o, node(out, c), **({"name": name} if name else {})), c

    def gru(self, x, h, after=True, form="torch", order="rzn"):
        """The next h; the reset acts after the product or before it."""
        graph, node, units = self.graph, self.graph.node, self.units
        of_x = node("Gemm", x, graph.weight(3 * units, self.inputs), graph.weight(3 * units), transB=1)
        of_x = dict(zip(order, self.blocks(of_x, 3)))
        if after:
            of_h = node("Gemm", h, graph.weight(3 * units, units), graph.weight(3 * units), transB=1)
            of_h = dict(zip(order, self.blocks(of_h, 3)))
        else:
            of_h = {gate: node("MatMul", h, graph.weight(units, units)) for gate in "rz"}
        r, z = (node("Sigmoid", node("Add", of_x[gate], of_h[gate])) for gate in "rz")
        inner = node("Mul", r, of_h["n"]) if after else node("MatMul", node("Mul", r, h), graph.weight(units, units))
        n = node("Tanh", node("Add", of_x["n"], inner))
        if form == "torch":
            return node("Add", n, node("Mul", z, node("Sub", h, n)))
        less = node("Sub", np.array(1, dtype="float32"), z)
        return node("Add", node("Mul", z, h), node("Mul", less, n))

    def rnn(self, x, h, kind="Tanh"):
        return self.graph.node(kind, self.sums(x, h, 1, "apart")[0])


def stepped(name, graph, outputs, states, x=None, until=None):
    """A case of a graph that is called step by step. Its answer is the first output; `states` says which input each of the others is for the next call."""
    model = graph.model(*outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = series(sequences=1)[:, 0] if x is None else x
    shapes = {given.name: given.shape for given in session.get_inputs()}
    first = graph.inputs[0].name
    state = {given: np.zeros(shapes[given], "float32") for given in states.values()}
    y = []
    for step in x:
        given = dict(zip(outputs, session.run(list(outputs), {first: step.reshape(shapes[first]), **state})))
        y.append(given[outputs[0]].reshape(-1))
        state = {of: given[output] for output, of in states.items()}
    ids = x.dtype.kind == "i"
    order = "bs" if ids else "sbf"
    record(name, model, x.reshape((1, -1)) if ids else x[:, None], np.stack(y)[:, None], order, "sbf", until, ids)


def spelled():
    """Cells that are spelled out, one step a call, as exports of cells have them."""
    def begin(*states, shape=(1, CHANNELS), units=UNITS):
        graph = Graph()
        return graph, graph.input(list(shape)), *[graph.input([1, units], name) for name in states]

    def named(graph, value, name):
        return graph.node("Identity", value, outputs=[name])[0]

    # torch.nn.LSTMCell by itself; gates in other orders, cut in other ways.
    graph, x, h, c = begin("h_in", "c_in")
    h_out, c_out = Cell(graph).lstm(x, h, c)
    stepped("spelled-lstm-cell", graph, [h_out, c_out], {h_out: "h_in", c_out: "c_in"})
    for how, order in [("slice", "fogi"), ("apart", "ifgo"), ("concat", "igfo"), ("split", "ogfi")]:
        graph, x, h, c = begin("h_in", "c_in")
        h_out, c_out = Cell(graph).lstm(x, h, c, how, order, forget=1.0 if how == "concat" else 0.0)
        y = graph.dense(h_out, UNITS, 2)
        stepped(f"spelled-lstm-{how}-{order}", graph, [y, c_out, h_out], {h_out: "h_in", c_out: "c_in"})
    graph, x, h, c = begin("h_in", "c_in")
    h_out, c_out = Cell(graph).lstm(x, h, c, gate="HardSigmoid", candidate="Softsign", out="Relu")
    stepped("spelled-lstm-activations", graph, [graph.node("Sigmoid", graph.dense(h_out, UNITS, 1)), h_out, c_out], {h_out: "h_in", c_out: "c_in"})
    # As many units as channels: the first input of the graph is the data.
    graph, x, h, c = begin("h_in", "c_in", units=CHANNELS)
    h_out, c_out = Cell(graph, units=CHANNELS).lstm(x, h, c)
    stepped("spelled-lstm-square", graph, [h_out, c_out], {h_out: "h_in", c_out: "c_in"})
    # Scaled samples in front, and what is given twice.
    graph, x, h, c = begin("h_in", "c_in", shape=(1, 1, CHANNELS))
    flow = graph.node("Mul", graph.node("Sub", x, graph.weight(CHANNELS)), graph.weight(CHANNELS))
    h_out, c_out = Cell(graph).lstm(graph.node("Squeeze", flow, graph.ints(0)), h, c)
    y = named(graph, h_out, "y")
    stepped("spelled-lstm-scaled", graph, [y, h_out, c_out], {h_out: "h_in", c_out: "c_in"})

    # The second model of DTLN: two layers, whose states are one tensor [1, layers, units, h and c], and a mask that the input goes through behind them.
    def dtln(name, outputs, until=None):
        graph = Graph()
        x, states = graph.input([1, 1, CHANNELS]), graph.input([1, 2, UNITS, 2], "states")
        mean = graph.node("ReduceMean", x, axes=[-1])
        centered = graph.node("Sub", x, mean)
        variance = graph.node("ReduceMean", graph.node("Mul", centered, centered), axes=[-1])
        root = graph.node("Sqrt", graph.node("Add", variance, np.array(1e-3, dtype="float32")))
        flow = graph.node("Add", graph.node("Mul", graph.node("Div", centered, root), graph.weight(1, 1, CHANNELS)), graph.weight(1, 1, CHANNELS))
        inputs, after = CHANNELS, [[], []]
        for layer in (0, 1):
            before = []
            for place in (0, 1):
                part = graph.node("Slice", states, graph.ints(0, layer, 0, place), graph.ints(1, layer + 1, UNITS, place + 1), graph.ints(0, 1, 2, 3))
                before.append(graph.node("Squeeze", part, graph.ints(1, 3)))
            step = graph.node("Squeeze", graph.node("Transpose", flow, perm=[1, 0, 2]), graph.ints(0))
            following = Cell(graph, inputs).lstm(step, *before, how="slice" if layer else "split", order="ifgo" if layer else "fiog")
            for place, value in enumerate(following):
                after[place].append(graph.node("Unsqueeze", value, graph.ints(0)))
            flow, inputs = graph.node("Reshape", following[0], graph.ints(1, 1, UNITS)), UNITS
        stacked = [graph.node("Reshape", graph.node("Concat", *of, axis=0), graph.ints(1, 2, UNITS)) for of in after]
        stacked = [graph.node("Unsqueeze", of, graph.ints(-1)) for of in stacked]
        states_out = graph.node("Concat", *stacked, axis=-1)
        mask = graph.node("Sigmoid", graph.dense(flow, UNITS, CHANNELS))
        masked = graph.node("Mul", mask, x, name="masked")
        given = {"mask": mask, "masked": masked, "states": states_out}
        stepped(name, graph, [given[key] for key in outputs], {states_out: "states"}, until=given[until] if until else None)

    dtln("spelled-dtln", ["mask", "states"])
    dtln("spelled-dtln-until", ["mask", "masked", "states"], until="mask")

    for after in (True, False):
        for form, order in [("torch", "rzn"), ("keras", "zrn")]:
            graph, x, h = begin("h_in")
            h_out = Cell(graph).gru(x, h, after, form, order)
            y = graph.node("Softmax", graph.dense(h_out, UNITS, 3))
            stepped(f"spelled-gru-{'after' if after else 'before'}-{form}", graph, [y, h_out], {h_out: "h_in"})
    for kind in ("Tanh", "Relu"):
        graph, x, h = begin("h_in")
        h_out = Cell(graph).rnn(x, h, kind)
        stepped(f"spelled-rnn-{kind}".lower(), graph, [h_out], {h_out: "h_in"})
    # Three cells of three kinds, a normalization and a dense layer between them.
    graph, x, first, second, cell, third = begin("h_1", "h_2", "c_2", "h_3")
    h_1 = Cell(graph).rnn(x, first)
    flow = graph.node("LayerNormalization", h_1, graph.weight(UNITS), graph.weight(UNITS))
    h_2, c_2 = Cell(graph, UNITS).lstm(flow, second, cell, "apart")
    flow = graph.node("Relu", graph.dense(h_2, UNITS, 3))
    h_3 = Cell(graph, 3).gru(flow, third)
    stepped("spelled-three", graph, [graph.dense(h_3, UNITS, 1), h_3, c_2, h_1, h_2], {h_1: "h_1", h_2: "h_2", c_2: "c_2", h_3: "h_3"})
    graph = Graph()
    word = graph.input([1], "word", TensorProto.INT64)
    h, c = (graph.input([1, UNITS], name) for name in ("h_in", "c_in"))
    h_out, c_out = Cell(graph).lstm(graph.node("Gather", graph.weight(WORDS, CHANNELS), word), h, c)
    words = np.array([3, 1, 6, 2, 5], dtype="int64")
    stepped("spelled-embedding", graph, [graph.dense(h_out, UNITS, 2), h_out, c_out], {h_out: "h_in", c_out: "c_in"}, words)


def refused_cells():
    """What is nearly a cell; tests/onnx_refused.rs has the words for each."""
    def of(name, change, states=("h_in", "c_in"), units=UNITS):
        graph = Graph()
        x = graph.input([1, CHANNELS])
        outputs = change(graph, Cell(graph), x, *[graph.input([1, units], state) for state in states])
        FILES.append((f"refused-cell-{name}.onnx", graph.model(*outputs).SerializeToString()))

    def lstm(graph, cell, x, h, c, **options):
        return cell.lstm(x, h, c, name="next", **options)

    of("states", lambda graph, cell, x, h, c: [graph.dense(lstm(graph, cell, x, h, c)[0], UNITS, 2)])
    of("joined", lambda graph, cell, x, h, c: [graph.node("Concat", *lstm(graph, cell, x, h, c), axis=-1)])

    def shifted(graph, cell, x, states):
        parts = graph.node("Split", states, graph.ints(UNITS, UNITS), outputs=2, axis=-1)
        h, c = lstm(graph, cell, x, *parts)
        return [graph.dense(h, UNITS, 2), graph.node("Concat", c, h, axis=-1)]

    of("places", shifted, ("states",), 2 * UNITS)

    def twice(graph, cell, x, h, c):
        h, c = cell.lstm(x, h, c)
        return Cell(graph).lstm(x, h, c, name="again")

    of("unrolled", twice)

    def gates(graph, cell, x, h, c):
        node = graph.node
        i, f, g, o = cell.sums(x, h, 4)
        c = node("Add", node("Mul", node("Sigmoid", i), node("Tanh", g)), node("Mul", node("Relu", f), c))
        return node("Mul", node("Sigmoid", o), node("Tanh", c), name="next"), c

    of("gates", gates)

    def peephole(graph, cell, x, h, c):
        node = graph.node
        i, f, g, o = cell.sums(x, h, 4)
        f = node("Add", f, node("Mul", c, graph.weight(UNITS)))
        c = node("Add", node("Mul", node("Sigmoid", i), node("Tanh", g)), node("Mul", node("Sigmoid", f), c))
        return node("Mul", node("Sigmoid", o), node("Tanh", c), name="next"), c

    of("peephole", peephole)

    def other(graph, cell, x, h):
        node = graph.node
        r, z = (node("Sigmoid", of) for of in cell.sums(x, h, 2))
        n = node("Tanh", node("Mul", r, cell.sums(x, h, 1, "apart")[0]))
        return [node("Add", n, node("Mul", z, node("Sub", h, n)), name="next")]

    of("reset", other, ("h_in",))
    of("branches", lambda graph, cell, x, h: [graph.node("Mul", graph.node("Sigmoid", graph.dense(x, CHANNELS, UNITS)), h, name="joined")], ("h_in",))

    def shared(graph, cell, x, h, c):
        first = cell.lstm(x, h, c)
        return [*Cell(graph, UNITS).lstm(first[0], h, c), *first]

    of("shared", shared)
    # Steps one behind the other, of all steps at once.
    graph = Graph()
    x = graph.input([1, 3, CHANNELS])
    h, c = (graph.constant(np.zeros((1, UNITS), dtype="float32")) for _ in "hc")
    step = graph.node("Squeeze", graph.node("Slice", x, graph.ints(0), graph.ints(1), graph.ints(1)), graph.ints(1))
    h, c = Cell(graph).lstm(step, h, c)
    FILES.append(("refused-cell-steps.onnx", graph.model(h).SerializeToString()))


def refused():
    """Models that are refused; tests/onnx_refused.rs has the words for each."""
    lstm = lambda graph, **options: graph.recurrent("LSTM", graph.input([STEPS, SEQUENCES, CHANNELS]), outputs=["y", ""], **options)[0]

    def of(name, graph, *outputs, change=None, domains=()):
        model = graph.model(*outputs, domains=domains)
        if change:
            change(model)
        FILES.append((f"refused-{name}.onnx", model.SerializeToString()))

    def lstm_with(name, change=None, **options):
        graph = Graph()
        of(name, graph, lstm(graph, **options), change=change)

    graph = Graph()
    y = lstm(graph)
    of("branches", graph, graph.node("Add", graph.node("Tanh", y), graph.node("Sigmoid", y), name="joined"))
    graph = Graph()
    of("operator", graph, graph.node("Erf", lstm(graph), name="strange"))
    graph = Graph()
    of("domain", graph, graph.node("Mine", lstm(graph), name="own", domain="my.domain"), domains=["my.domain"])
    graph = Graph()
    x = graph.input([STEPS, SEQUENCES, CHANNELS])
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, None)
    step = helper.make_tensor_value_info("step", TensorProto.FLOAT, None)
    body = helper.make_graph([helper.make_node("Tanh", ["step"], ["next"])], "body", [step], [helper.make_tensor_value_info("next", TensorProto.FLOAT, None)])
    of("scan", graph, graph.node("Scan", x, name="unrolled", body=body, num_scan_inputs=1))
    graph = Graph()
    of("loop", graph, graph.node("Loop", "", "", graph.input([STEPS, SEQUENCES, CHANNELS]), name="looped", body=body))

    def external(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in [("location", "weights.bin"), ("length", "192")]:
            tensor.external_data.add(key=key, value=value)

    lstm_with("external", external)

    def units(model):
        attribute = next(a for a in model.graph.node[0].attribute if a.name == "hidden_size")
        attribute.i = 5

    lstm_with("units", units)

    def cut(model):
        model.graph.initializer[1].raw_data = model.graph.initializer[1].raw_data[:-4]

    lstm_with("short", cut)

    def nan(model):
        tensor = model.graph.initializer[2]
        tensor.raw_data = tensor.raw_data[:-4] + np.array([np.nan], dtype="float32").tobytes()

    lstm_with("nan", nan)

    def inputs(model):
        model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 6

    lstm_with("inputs", inputs)

    def unknown(model):
        model.graph.node[0].input[2] = "nothing"

    lstm_with("undefined", unknown)
    lstm_with("lengths", slots=[np.array([STEPS, 2], dtype="int32")])
    graph = Graph()
    flow = graph.node("ReverseSequence", graph.input([STEPS, SEQUENCES, CHANNELS]), np.full(SEQUENCES, STEPS, dtype="int64"), name="back", time_axis=0, batch_axis=1)
    of("backwards", graph, graph.dense(flow, CHANNELS, 2))
    graph = Graph()
    part = graph.node("Slice", graph.input([STEPS, SEQUENCES, CHANNELS]), graph.ints(0), graph.ints(2), graph.ints(2))
    of("part", graph, graph.node("MatMul", part, graph.weight(2, 2), name="product"))
    lstm_with("clip", clip=-1.0)
    lstm_with("layout", layout=2)
    lstm_with("activation", activations=["Sigmoid", "Swish", "Tanh"])
    lstm_with("activations", activations=["Sigmoid", "Tanh"])
    lstm_with("alpha", activations=["Sigmoid", "LeakyRelu", "Tanh"], activation_alpha=[float("inf")])
    graph = Graph()
    of("states", graph, lstm(graph, slots=["", graph.weight(1, SEQUENCES, UNITS)]))
    graph = Graph()
    x = graph.input([STEPS, SEQUENCES, CHANNELS])
    ints = np.ones((1, 4 * UNITS, CHANNELS), dtype="int8")
    of("ints", graph, graph.node("LSTM", x, ints, graph.weight(1, 4 * UNITS, UNITS), outputs=["y", ""], hidden_size=UNITS)[0])
    graph = Graph()
    x = graph.input([STEPS, SEQUENCES, CHANNELS])
    of("computed-weights", graph, graph.node("LSTM", x, x, graph.weight(1, 4 * UNITS, UNITS), outputs=["y", ""], name="odd", hidden_size=UNITS)[0])
    graph = Graph()
    y = lstm(graph)
    of("outputs", graph, graph.dense(graph.node("Squeeze", y, graph.ints(1)), UNITS, 2), graph.node("Tanh", y))
    graph = Graph()
    of("step", graph, graph.node("Gather", lstm(graph), graph.constant(np.array(2, dtype="int64")), name="third", axis=0))
    graph = Graph()
    flow = graph.node("Transpose", graph.node("Squeeze", lstm(graph), graph.ints(1)), perm=[1, 0, 2])
    of("flatten", graph, graph.dense(graph.node("Flatten", flow, name="flat"), STEPS * UNITS, 2))
    graph = Graph()
    of("apart", graph, graph.node("Tanh", lstm(graph, direction="bidirectional"), name="act"))
    for name, kernel, options in [("dilation", [4, CHANNELS, 2], {"dilations": [2]}), ("groups", [3, 1, 2], {"group": 3}), ("pads", [4, CHANNELS, 3], {"pads": [1, 0]})]:
        graph = Graph()
        of(name, graph, graph.node("Conv", graph.input([SEQUENCES, CHANNELS, 8]), graph.weight(*kernel), name="conv", **options))
    graph = Graph()
    flow = graph.node("Conv", graph.input([SEQUENCES, CHANNELS, 8]), graph.weight(4, CHANNELS, 1))
    flow = graph.node("Transpose", flow, perm=[0, 2, 1])
    of("axes", graph, graph.node("LSTM", flow, graph.weight(1, 4 * UNITS, 4), graph.weight(1, 4 * UNITS, UNITS), outputs=["y", ""], name="sideways", hidden_size=UNITS)[0])
    graph = Graph()
    flow = graph.input([STEPS, SEQUENCES, CHANNELS])
    y = graph.recurrent("LSTM", flow, outputs=["y", ""])[0]
    positive = graph.node("Greater", graph.node("ReduceMax", flow, axes=[0, 1, 2], keepdims=0), np.array(0, dtype="float32"))
    same = lambda name: helper.make_graph([helper.make_node("Identity", [y], [name])], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])
    of("if", graph, graph.node("If", positive, name="decides", then_branch=same("a"), else_branch=same("b")))
    graph = Graph()
    out = graph.node("MatMul", graph.input([STEPS, SEQUENCES, CHANNELS]), graph.weight(CHANNELS, 2))
    of("bias", graph, graph.node("Add", out, graph.weight(3), name="sum"))


def sizes():
    """Models whose memory is measured: tests/onnx_memory.rs. Their numbers repeat, so that the archive stays small."""
    units = 192
    pattern = lambda kind, *shape: np.resize((np.arange(-50, 50) / 400).astype(kind), shape)

    def of(name, kind, place):
        graph = Graph()
        x = graph.input([STEPS, 1, units])
        tensors = [place(graph, pattern(kind, *shape)) for shape in [(1, 4 * units, units), (1, 4 * units, units), (1, 8 * units)]]
        y = graph.node("LSTM", x, *tensors, outputs=["y", ""], hidden_size=units)[0]
        FILES.append((f"large-{name}.onnx", graph.model(y).SerializeToString()))

    of("f32", "float32", lambda graph, tensor: graph.constant(tensor))
    of("f16", "float16", lambda graph, tensor: graph.node("Cast", tensor, to=TensorProto.FLOAT))
    of("double", "float64", lambda graph, tensor: graph.node("Cast", tensor, to=TensorProto.FLOAT))
    scale = np.array(0.01, dtype="float32")
    of("int8", "float32", lambda graph, tensor: graph.node("DequantizeLinear", (tensor * 400).astype("int8"), scale))

    def halves(graph, tensor):
        axis, half = (1, tensor.shape[1] // 2)
        return graph.node("Concat", tensor[:, :half], tensor[:, half:], axis=axis)

    of("concat", "float32", halves)
    graph = Graph()
    x = graph.input([STEPS, 1, 1 << 12])
    wide = graph.node("Expand", np.ones((1, 1, 1), dtype="float32"), graph.ints(1, 4 << 12, 1 << 12))
    FILES.append(("expanded.onnx", graph.model(graph.node("LSTM", x, wide, wide, outputs=["y", ""], hidden_size=1 << 12)[0]).SerializeToString()))
    graph = Graph()
    flow = graph.input([STEPS, units])
    matrix = graph.constant(pattern("float32", units, units))
    for _ in range(100):
        flow = graph.node("MatMul", flow, matrix)
    FILES.append(("shared.onnx", graph.model(flow).SerializeToString()))


def pack(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [("cases.json", json.dumps(CASES, indent=0).encode()), *FILES]:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


for group in [node_tests, directions, options, layouts, torch_like, tf_like, windows, norms, weights, dynamic, spelled, refused, refused_cells, sizes]:
    group()
pack(os.path.join(HERE, "onnx.zip"))
print(len(CASES), "cases of", len(FILES), "models,", os.path.getsize(os.path.join(HERE, "onnx.zip")), "bytes")
