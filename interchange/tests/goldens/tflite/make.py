"""Writes tiny models of TensorFlow Lite, an input of each and what its interpreter computes of it.

    python3.11 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make.py        # tflite.zip

The archive has the models and `cases.json`: of each case the file, its kind (float, hybrid, int8), whether x are ids, x, and y. Models of Keras are converted;
others are put together table by table, for what no converter of today writes. The states of the interpreter are reset before each case.
"""

import json
import multiprocessing
import os
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import flatbuffers
import numpy as np
import tensorflow as tf
from tensorflow import keras
from tensorflow.lite.python import schema_py_generated as S

HERE = os.path.dirname(os.path.abspath(__file__))
L = keras.layers
STEPS, CHANNELS, UNITS, WORDS = 6, 3, 4, 7
CASES, FILES = [], []
RANDOM = np.random.default_rng(5)
KINDS = {"float32": S.TensorType.FLOAT32, "float16": S.TensorType.FLOAT16, "int8": S.TensorType.INT8, "int32": S.TensorType.INT32}


def run(model, x, calls=1):
    """What the interpreter answers, as real numbers. A model that is called step by step is called for each step."""
    interpreter = tf.lite.Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.reset_all_variables()
    (of_input,), of_output = interpreter.get_input_details(), interpreter.get_output_details()[0]
    answers = []
    for part in np.split(x, calls, axis=1) if calls > 1 else [x]:
        scale, zero = of_input["quantization"]
        if of_input["dtype"] == np.int8:
            part = np.clip(np.round(part / scale) + zero, -128, 127)
        interpreter.set_tensor(of_input["index"], part.astype(of_input["dtype"]))
        interpreter.invoke()
        y = interpreter.get_tensor(of_output["index"]).astype("float64")
        scale, zero = of_output["quantization"]
        answers.append(scale * (y - zero) if of_output["dtype"] == np.int8 else y)
    return np.concatenate(answers, axis=1 if calls > 1 else 0)


def case(name, model, x, kind="float", ids=False, calls=1):
    flat = lambda values: [float(value) for value in np.asarray(values, dtype="float64").reshape(-1)]
    CASES.append({"name": name, "file": f"{name}.tflite", "kind": kind, "ids": ids, "x": flat(x), "y": flat(run(model, x, calls))})
    FILES.append((f"{name}.tflite", model))


# ---------------------------------------------------------------------------------------------------------------------------------------------------- Keras


def sequential(*layers, shape=(STEPS, CHANNELS)):
    return keras.Sequential([L.Input(shape=shape), *layers])


MODELS = {
    "lstm": lambda: sequential(L.LSTM(4), L.Dense(2)),
    "lstm-steps": lambda: sequential(L.LSTM(4, return_sequences=True), L.LSTM(5, return_sequences=True), L.Dense(2, activation="relu")),
    "bidirectional": lambda: sequential(L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Bidirectional(L.LSTM(3)), L.Dense(1)),
    "conv-causal-pool": lambda: sequential(L.Conv1D(4, 3, padding="causal", activation="relu"), L.MaxPooling1D(2), L.LSTM(4), L.Dense(1, activation="sigmoid")),
    "mean": lambda: sequential(L.LSTM(4, return_sequences=True), L.BatchNormalization(), L.GlobalAveragePooling1D(), L.Dense(2, activation="tanh")),
    "embedding": lambda: sequential(L.Embedding(WORDS, 4), L.LSTM(4), L.Dense(1, activation="sigmoid"), shape=(STEPS,)),
    # A loop, which is refused.
    "gru": lambda: sequential(L.GRU(4), L.Dense(1)),
    # Weights of fewer than 1024 numbers stay floats.
    "wide": lambda: sequential(L.LSTM(36), L.Dense(36), L.Dense(2), shape=(STEPS, 32)),
}
WANTED = [("lstm", "float"), ("lstm", "int8"), ("gru", "float"), ("wide", "hybrid"), ("lstm-steps", "float"), ("bidirectional", "float"), ("embedding", "float"), ("conv-causal-pool", "float"), ("mean", "float"), ("lstm-steps", "int8")]


def weighed(model, scale=0.5, seed=3):
    random = np.random.default_rng(seed)
    # Variances are positive.
    one = lambda weight: 1.0 + 0.2 * random.random(weight.shape) if "variance" in weight.name else scale * random.normal(size=weight.shape)
    model.set_weights([one(weight).astype("float32") for weight in model.weights])
    return model


def converted(model, kind, samples=None):
    spec = tf.TensorSpec([1, *model.input_shape[1:]], model.inputs[0].dtype)
    concrete = tf.function(lambda x: model(x)).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "int8":
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def series(channels=CHANNELS, seed=1, steps=STEPS):
    return np.random.default_rng(seed).normal(size=(1, steps, channels)).astype("float32")


def made(wanted):
    name, kind = wanted
    return converted(weighed(MODELS[name](), 0.2 if name == "wide" else 0.5), kind, [series(seed=seed) for seed in range(1, 40)])


def of_keras():
    # The converter keeps all functions that it ever saw, and saves them with each model: so each model has a process of its own.
    with multiprocessing.get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        models = pool.map(made, WANTED, chunksize=1)
    for (name, kind), model in zip(WANTED, models):
        ids = name == "embedding"
        x = np.array([[3, 1, 6, 2, 5, 4]]) if ids else series(32 if name == "wide" else CHANNELS)
        if name == "gru":
            FILES.append(("refused-while.tflite", model))
        else:
            case(f"keras-{name}" + (f"-{kind}" if kind != "float" else ""), model, x, kind=kind, ids=ids)


def worths():
    """The kernels of the first LSTM of quantized models as scale·(q - zero), i, f, c, o, and then the recurrent ones."""
    for name in ["keras-wide-hybrid", "keras-lstm-int8"]:
        model = S.ModelT.InitFromObj(S.Model.GetRootAsModel(dict(FILES)[f"{name}.tflite"], 0))
        graph = model.subgraphs[0]
        code = lambda operator: model.operatorCodes[operator.opcodeIndex].builtinCode
        operator = next(one for one in graph.operators if code(one) == S.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM)
        values = []
        for number in operator.inputs[1:9]:
            tensor = graph.tensors[number]
            numbers = np.frombuffer(model.buffers[tensor.buffer].data.tobytes(), dtype="int8").astype("float64")
            zero = tensor.quantization.zeroPoint[0] if tensor.quantization.zeroPoint is not None else 0
            values.append(float(tensor.quantization.scale[0]) * (numbers - zero))
        FILES.append((f"{name}.f32", np.concatenate(values).astype("<f4").tobytes()))


# ---------------------------------------------------------------------------------------------------------------------------------------------------- by hand


class Graph:
    """A model that is put together table by table."""

    def __init__(self):
        self.model = S.ModelT()
        self.model.version, self.model.description = 3, "latch goldens"
        self.model.buffers, self.model.operatorCodes = [S.BufferT()], []
        self.graph = S.SubGraphT()
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, shape, name=None, kind="float32", data=None, variable=False, scale=None, zero=None, axis=0):
        tensor = S.TensorT()
        tensor.shape, tensor.type, tensor.isVariable = np.array(shape, dtype="int32"), KINDS[kind], variable
        tensor.name = name or f"t{len(self.graph.tensors)}"
        tensor.buffer = 0
        if data is not None:
            buffer = S.BufferT()
            buffer.data = np.frombuffer(np.asarray(data, dtype=kind).tobytes(), dtype="uint8")
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        if scale is not None:
            tensor.quantization = S.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(scale).astype("float32")
            tensor.quantization.zeroPoint = np.atleast_1d(zero if zero is not None else np.zeros(np.size(scale))).astype("int64")
            tensor.quantization.quantizedDimension = axis
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def weight(self, *shape, scale=0.5):
        return self.tensor(shape, data=scale * RANDOM.normal(size=shape))

    def ints(self, *values):
        return self.tensor([len(values)], kind="int32", data=values)

    def input(self, *shape, kind="float32"):
        self.graph.inputs.append(self.tensor(shape, "x", kind))
        return self.graph.inputs[-1]

    def state(self, *shape):
        return self.tensor(shape, variable=True)

    def node(self, kind, inputs, shape, options=None, outputs=1, dtype="float32", name=None):
        number = getattr(S.BuiltinOperator, kind)
        code = S.OperatorCodeT()
        code.deprecatedBuiltinCode, code.builtinCode, code.version = min(number, 127), number, 1
        operator = S.OperatorT()
        operator.opcodeIndex = len(self.model.operatorCodes)
        self.model.operatorCodes.append(code)
        operator.inputs = np.array(inputs, dtype="int32")
        made = [self.tensor(shape, (name or kind.lower()) + (f":{place}" if place else ""), dtype) for place in range(outputs)]
        operator.outputs = np.array(made, dtype="int32")
        if options is not None:
            operator.builtinOptionsType = getattr(S.BuiltinOptions, type(options).__name__[:-1])
            operator.builtinOptions = options
        self.graph.operators.append(operator)
        return made[0] if outputs == 1 else made

    def bytes(self, *outputs):
        self.graph.inputs = np.array(self.graph.inputs, dtype="int32")
        self.graph.outputs = np.array(outputs, dtype="int32")
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def dense(self, x, inputs, units, shape, activation=0):
        options = S.FullyConnectedOptionsT()
        options.fusedActivationFunction, options.keepNumDims = activation, len(shape) > 2
        return self.node("FULLY_CONNECTED", [x, self.weight(units, inputs), self.weight(units)], shape, options, name="dense")

    def direction(self, inputs, units, features, coupled, peepholes, projection):
        gates = lambda *shape: [-1 if coupled and gate == 0 else self.weight(*shape) for gate in range(4)]
        kernels, recurrent = gates(units, inputs), gates(units, features)
        holes = [self.weight(units) if peepholes and not (coupled and gate == 0) else -1 for gate in range(3)]
        return [*kernels, *recurrent, *holes, *gates(units), self.weight(features, units) if projection else -1, -1]

    def lstm(self, x, inputs=CHANNELS, units=UNITS, coupled=False, peepholes=False, projection=None, cell_clip=0.0, proj_clip=0.0, time_major=False, activation=4, steps=STEPS, sequences=1):
        options = S.UnidirectionalSequenceLSTMOptionsT()
        options.fusedActivationFunction, options.cellClip, options.projClip, options.timeMajor = activation, cell_clip, proj_clip, time_major
        features = projection or units
        weights = self.direction(inputs, units, features, coupled, peepholes, projection)
        shape = [steps, sequences, features] if time_major else [sequences, steps, features]
        return self.node("UNIDIRECTIONAL_SEQUENCE_LSTM", [x, *weights, self.state(sequences, features), self.state(sequences, units), -1, -1, -1, -1], shape, options, name="lstm")


def single(name, **options):
    graph = Graph()
    time_major = options.get("time_major", False)
    x = graph.input(*([STEPS, 1, CHANNELS] if time_major else [1, STEPS, CHANNELS]))
    y = graph.lstm(x, **options)
    values = series() * 2
    case(name, graph.bytes(y), values.reshape(STEPS, 1, CHANNELS) if time_major else values)


def options_of_lstm():
    single("peepholes", peepholes=True)
    single("coupled", coupled=True)
    single("coupled-peepholes", coupled=True, peepholes=True)
    single("projection", projection=3)
    single("projection-clip", projection=3, proj_clip=0.1, units=5)
    single("cell-clip", cell_clip=0.4)
    single("cell-clip-peepholes", cell_clip=0.4, peepholes=True, projection=2)
    single("time-major", time_major=True)
    single("relu", activation=1, cell_clip=2.0)
    graph = Graph()
    case("step-by-step", graph.bytes(graph.lstm(graph.input(1, 1, CHANNELS), steps=1)), series(), calls=STEPS)
    # Outputs at the last step, of steps first.
    graph = Graph()
    y = graph.lstm(graph.input(STEPS, 1, CHANNELS), time_major=True)
    options = S.GatherOptionsT()
    y = graph.node("GATHER", [y, graph.tensor([], kind="int32", data=STEPS - 1)], [1, UNITS], options)
    case("gather-last", graph.bytes(graph.dense(y, UNITS, 2, [1, 2])), series().reshape(STEPS, 1, CHANNELS))


def rnn(graph, x, activation=4, inputs=CHANNELS, time_major=False):
    options = S.SequenceRNNOptionsT()
    options.fusedActivationFunction, options.timeMajor = activation, time_major
    weights = [graph.weight(UNITS, inputs), graph.weight(UNITS, UNITS), graph.weight(UNITS)]
    return graph.node("UNIDIRECTIONAL_SEQUENCE_RNN", [x, *weights, graph.state(1, UNITS)], [STEPS, 1, UNITS] if time_major else [1, STEPS, UNITS], options, name="rnn")


def other_recurrent():
    for name, activation in [("rnn", 4), ("rnn-relu", 1), ("rnn-linear", 0)]:
        graph = Graph()
        case(name, graph.bytes(rnn(graph, graph.input(1, STEPS, CHANNELS), activation)), series())
    graph = Graph()
    case("rnn-time-major", graph.bytes(rnn(graph, graph.input(STEPS, 1, CHANNELS), time_major=True)), series().reshape(STEPS, 1, CHANNELS))
    for merged in [True, False]:
        suffix = "" if merged else "-apart"
        for peepholes in [False, True]:
            graph = Graph()
            options = S.BidirectionalSequenceLSTMOptionsT()
            options.fusedActivationFunction, options.mergeOutputs, options.timeMajor = 4, merged, False
            x = graph.input(1, STEPS, CHANNELS)
            both = [graph.direction(CHANNELS, UNITS, UNITS, False, peepholes, None) for _ in range(2)]
            states = [graph.state(1, UNITS) for _ in range(4)]
            shape = [1, STEPS, UNITS * (2 if merged else 1)]
            y = graph.node("BIDIRECTIONAL_SEQUENCE_LSTM", [x, *both[0], *both[1], *states, *[-1] * 9], shape, options, 1 if merged else 2, name="both")
            if not merged:
                join = S.ConcatenationOptionsT()
                join.axis = 2
                y = graph.node("CONCATENATION", y, [1, STEPS, 2 * UNITS], join)
            case(f"both-lstm{suffix}{'-peepholes' if peepholes else ''}", graph.bytes(graph.dense(y, 2 * UNITS, 2, [1, STEPS, 2])), series())
        graph = Graph()
        options = S.BidirectionalSequenceRNNOptionsT()
        options.fusedActivationFunction, options.mergeOutputs, options.timeMajor = 4, merged, False
        x = graph.input(1, STEPS, CHANNELS)
        one = lambda: [graph.weight(UNITS, CHANNELS), graph.weight(UNITS, UNITS), graph.weight(UNITS), graph.state(1, UNITS)]
        y = graph.node("BIDIRECTIONAL_SEQUENCE_RNN", [x, *one(), *one(), -1, -1, -1], [1, STEPS, UNITS * (2 if merged else 1)], options, 1 if merged else 2, name="both")
        if not merged:
            y = graph.node("ADD", y, [1, STEPS, UNITS], S.AddOptionsT())
        case(f"both-rnn{suffix}", graph.bytes(graph.dense(y, UNITS * (2 if merged else 1), 2, [1, STEPS, 2])), series())


def neighbours():
    graph = Graph()
    y = graph.node("EMBEDDING_LOOKUP", [graph.input(STEPS, kind="int32"), graph.weight(WORDS, CHANNELS)], [STEPS, CHANNELS])
    y = graph.node("RESHAPE", [y, graph.ints(1, STEPS, CHANNELS)], [1, STEPS, CHANNELS])
    case("embedding-lookup", graph.bytes(graph.lstm(y)), np.array([3, 1, 6, 2, 5, 4]), ids=True)
    # The batch of the input, as converters compute it for a reshape.
    graph = Graph()
    x = graph.input(1, STEPS, CHANNELS)
    y = rnn(graph, x)
    shaping = S.ShapeOptionsT()
    shaping.outType = S.TensorType.INT32
    shape = graph.node("SHAPE", [x], [3], shaping, dtype="int32")
    slicing = S.StridedSliceOptionsT()
    slicing.shrinkAxisMask = 1
    batch = graph.node("STRIDED_SLICE", [shape, graph.ints(0), graph.ints(1), graph.ints(1)], [], slicing, dtype="int32")
    packing = S.PackOptionsT()
    packing.valuesCount = 3
    steps, units = graph.tensor([], kind="int32", data=STEPS), graph.tensor([], kind="int32", data=UNITS)
    target = graph.node("PACK", [batch, steps, units], [3], packing, dtype="int32")
    y = graph.node("RESHAPE", [y, target], [1, STEPS, UNITS])
    y = graph.node("TRANSPOSE", [y, graph.ints(1, 0, 2)], [STEPS, 1, UNITS])
    case("packed-shape", graph.bytes(graph.lstm(y, inputs=UNITS, time_major=True)), series())
    graph = Graph()
    y = graph.node("SUB", [graph.input(1, STEPS, CHANNELS), graph.weight(CHANNELS)], [1, STEPS, CHANNELS], S.SubOptionsT())
    y = graph.node("MUL", [y, graph.weight(CHANNELS)], [1, STEPS, CHANNELS], S.MulOptionsT())
    y = graph.node("SLICE", [rnn(graph, y), graph.ints(0, STEPS - 1, 0), graph.ints(1, 1, -1)], [1, 1, UNITS])
    squeezing = S.SqueezeOptionsT()
    squeezing.squeezeDims = np.array([1], dtype="int32")
    y = graph.node("SQUEEZE", [y], [1, UNITS], squeezing)
    y = graph.dense(y, UNITS, 3, [1, 3], activation=2)
    softened = S.SoftmaxOptionsT()
    softened.beta = 0.7
    case("softmax-beta", graph.bytes(graph.node("SOFTMAX", [y], [1, 3], softened)), series())
    for kind in ["MEAN", "REDUCE_MAX"]:
        graph = Graph()
        reducing = S.ReducerOptionsT()
        reducing.keepDims = kind == "MEAN"
        y = rnn(graph, graph.input(1, STEPS, CHANNELS))
        y = graph.node(kind, [y, graph.tensor([], kind="int32", data=1)], [1, 1, UNITS] if kind == "MEAN" else [1, UNITS], reducing)
        case(kind.lower(), graph.bytes(graph.dense(y, UNITS, 2, [1, 1, 2] if kind == "MEAN" else [1, 2])), series())
    # Weights by rows, as newer converters write them.
    graph = Graph()
    y = rnn(graph, graph.input(1, STEPS, CHANNELS))
    rows = graph.tensor([3, UNITS], "rows", "int8", RANDOM.integers(-127, 128, (3, UNITS)), scale=[0.01, 0.02, 0.005])
    floats = graph.node("DEQUANTIZE", [rows], [3, UNITS], S.DequantizeOptionsT())
    options = S.FullyConnectedOptionsT()
    options.keepNumDims = True
    case("by-rows", graph.bytes(graph.node("FULLY_CONNECTED", [y, floats, -1], [1, STEPS, 3], options, name="dense")), series())
    # Weights in half precision: the converter of 2.15 takes all memory for an LSTM of them.
    graph = Graph()
    y = rnn(graph, graph.input(1, STEPS, CHANNELS))
    halves = graph.node("DEQUANTIZE", [graph.tensor([3, UNITS], "halves", "float16", RANDOM.normal(size=(3, UNITS)))], [3, UNITS], S.DequantizeOptionsT())
    adjoint = S.BatchMatMulOptionsT()
    adjoint.adjY = True
    case("float16", graph.bytes(graph.node("BATCH_MATMUL", [y, halves], [1, STEPS, 3], adjoint)), series())


def as_converted():
    """Operators as the converter puts them around layers of Keras."""
    def conv(x, frames, padding, stride=1, activation=0, steps=STEPS, rows_first=True):
        wide = [1, 1, STEPS, CHANNELS] if rows_first else [1, STEPS, 1, CHANNELS]
        x = graph.node("RESHAPE", [x, graph.ints(*wide)], wide)
        options = S.Conv2DOptionsT()
        options.padding, options.fusedActivationFunction = padding, activation
        options.strideW = options.strideH = stride
        kernel = graph.weight(UNITS, *([1, frames] if rows_first else [frames, 1]), CHANNELS)
        wide = [1, 1, steps, UNITS] if rows_first else [1, steps, 1, UNITS]
        x = graph.node("CONV_2D", [x, kernel, graph.weight(UNITS)], wide, options)
        return graph.node("RESHAPE", [x, graph.ints(1, steps, UNITS)], [1, steps, UNITS])

    for rows_first in [True, False]:
        suffix = "" if rows_first else "-columns"
        graph = Graph()
        y = conv(graph.input(1, STEPS, CHANNELS), 3, S.Padding.SAME, activation=1, rows_first=rows_first)
        case(f"conv-same{suffix}", graph.bytes(graph.lstm(y, inputs=UNITS)), series())
        graph = Graph()
        y = conv(graph.input(1, STEPS, CHANNELS), 2, S.Padding.VALID, stride=2, steps=3, rows_first=rows_first)
        case(f"conv-strides{suffix}", graph.bytes(graph.lstm(y, inputs=UNITS, steps=3)), series())
    for last in [True, False]:
        graph = Graph()
        axis = graph.ints(1)
        y = graph.node("REVERSE_V2", [graph.input(1, STEPS, CHANNELS), axis], [1, STEPS, CHANNELS])
        y = graph.lstm(y, cell_clip=10.0)
        if last:
            slicing = S.StridedSliceOptionsT()
            slicing.beginMask = slicing.endMask = 5
            slicing.shrinkAxisMask = 2
            y = graph.node("STRIDED_SLICE", [y, graph.ints(0, -1, 0), graph.ints(0, 0, 0), graph.ints(1, 1, 1)], [1, UNITS], slicing)
        else:
            y = graph.node("REVERSE_V2", [y, axis], [1, STEPS, UNITS])
        case("backwards" + ("-last" if last else "-steps"), graph.bytes(graph.dense(y, UNITS, 2, [1, 2] if last else [1, STEPS, 2])), series())
    leaking = S.LeakyReluOptionsT()
    leaking.alpha = 0.3
    for kind, options in [("LEAKY_RELU", leaking), ("ELU", None), ("RELU6", None), ("RELU_N1_TO_1", None), ("RELU", None), ("LOGISTIC", None), ("NEG", S.NegOptionsT())]:
        graph = Graph()
        y = graph.dense(rnn(graph, graph.input(1, STEPS, CHANNELS)), UNITS, 3, [1, STEPS, 3])
        y = graph.node(kind, [y], [1, STEPS, 3], options)
        case(f"after-{kind.lower().replace('_', '-')}", graph.bytes(graph.dense(y, 3, 2, [1, STEPS, 2])), series() * 4)
    # Steps as rows of a matrix, and back.
    graph = Graph()
    y = graph.node("RESHAPE", [rnn(graph, graph.input(1, STEPS, CHANNELS)), graph.ints(-1, UNITS)], [STEPS, UNITS])
    y = graph.dense(y, UNITS, 3, [STEPS, 3], activation=3)
    y = graph.node("RESHAPE", [y, graph.ints(1, STEPS, 3)], [1, STEPS, 3])
    case("rows", graph.bytes(rnn(graph, y, inputs=3)), series())
    graph = Graph()
    y = graph.node("EXPAND_DIMS", [graph.input(STEPS, CHANNELS), graph.tensor([], kind="int32", data=0)], [1, STEPS, CHANNELS], S.ExpandDimsOptionsT())
    case("expanded", graph.bytes(rnn(graph, y)), series().reshape(STEPS, CHANNELS))


# ----------------------------------------------------------------------------------------------------------------------------------------- refused and large


def refused():
    """Models that are refused; tests/tflite_refused.rs has the words for each."""
    of = lambda name, data: FILES.append((f"refused-{name}.tflite", data))
    def lstm(name, change=None, **options):
        graph = Graph()
        y = graph.lstm(graph.input(1, STEPS, CHANNELS), **options)
        if change:
            change(graph, graph.graph.operators[0])
        of(name, graph.bytes(y))

    def normalized(graph, operator):
        operator.inputs[21] = graph.tensor([UNITS], "scales", data=np.ones(UNITS))

    def biased(graph, operator):
        operator.inputs[17] = graph.tensor([3], "shift", data=np.ones(3))

    def reshaped(graph, operator):
        graph.graph.tensors[operator.inputs[6]].shape = np.array([UNITS, UNITS + 1], dtype="int32")

    def other(graph, operator):
        operator.inputs[7] = graph.tensor([UNITS, UNITS + 1], "wide", data=np.ones((UNITS, UNITS + 1)))

    def nothing(graph, operator):
        operator.inputs[3] = graph.tensor([UNITS, CHANNELS], "nothing")

    def nan(graph, operator):
        operator.inputs[13] = graph.tensor([UNITS], "shift", data=[0, np.nan, 0, 0])

    def ints(graph, operator):
        operator.inputs[2] = graph.tensor([UNITS, CHANNELS], "ints", "int8", np.ones((UNITS, CHANNELS)))

    def scales(graph, operator):
        operator.inputs[2] = graph.tensor([UNITS, CHANNELS], "ints", "int8", np.ones((UNITS, CHANNELS)), scale=[0.1, 0.2])

    def half(graph, operator):
        operator.inputs[1] = -1

    def diagonal(graph, operator):
        operator.builtinOptions.diagonalRecurrentTensors = True

    def inputs(graph, operator):
        graph.graph.tensors[operator.inputs[0]].shape = np.array([1, STEPS, CHANNELS + 2], dtype="int32")

    for name, change, options in [
        ("normalized", normalized, {}), ("projection-bias", biased, {"projection": 3}), ("short", reshaped, {}), ("shape", other, {}), ("nothing", nothing, {}),
        ("nan", nan, {}), ("ints", ints, {}), ("scales", scales, {}), ("half", half, {}), ("diagonal", diagonal, {}), ("inputs", inputs, {}), ("activation", None, {"activation": 3}),
    ]:
        lstm(name, change, **options)
    graph = Graph()
    y = graph.lstm(graph.input(1, STEPS, CHANNELS))
    a, b = graph.node("TANH", [y], [1, STEPS, UNITS]), graph.node("LOGISTIC", [y], [1, STEPS, UNITS])
    of("branches", graph.bytes(graph.node("ADD", [a, b], [1, STEPS, UNITS], S.AddOptionsT(), name="joined")))
    graph = Graph()
    y = graph.lstm(graph.input(1, STEPS, CHANNELS))
    of("operator", graph.bytes(graph.node("COS", [y], [1, STEPS, UNITS], name="wave")))
    graph = Graph()
    y = graph.lstm(graph.input(1, STEPS, CHANNELS))
    of("outputs", graph.bytes(graph.node("TANH", [y], [1, STEPS, UNITS]), graph.node("LOGISTIC", [y], [1, STEPS, UNITS])))


def sizes():
    """Models whose memory is measured: tests/tflite_memory.rs. Their numbers repeat, so that the archive stays small."""
    units = 192
    for kind in ["float32", "float16", "int8"]:
        graph = Graph()
        x = graph.input(1, STEPS, units)
        pattern = (np.arange(-50, 50) / 400).astype(kind) if kind != "int8" else np.arange(-50, 50).astype("int8")

        def weight(*shape):
            values = np.resize(pattern, shape)
            if kind == "int8":
                return graph.tensor(shape, kind=kind, data=values, scale=0.01)
            tensor = graph.tensor(shape, kind=kind, data=values)
            return tensor if kind == "float32" else graph.node("DEQUANTIZE", [tensor], shape, S.DequantizeOptionsT())

        kernels = [weight(units, units) for _ in range(8)]
        biases = [graph.weight(units) for _ in range(4)]
        options = S.UnidirectionalSequenceLSTMOptionsT()
        options.fusedActivationFunction = 4
        inputs = [x, *kernels, -1, -1, -1, *biases, -1, -1, graph.state(1, units), graph.state(1, units), -1, -1, -1, -1]
        y = graph.node("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [1, STEPS, units], options)
        FILES.append((f"large-{kind}.tflite", graph.bytes(y)))
    # One matrix that is read a hundred times.
    graph = Graph()
    y = graph.input(1, units)
    matrix = graph.tensor([units, units], data=np.resize((np.arange(-50, 50) / 400), (units, units)))
    for _ in range(100):
        y = graph.node("FULLY_CONNECTED", [y, matrix, -1], [1, units], S.FullyConnectedOptionsT())
    FILES.append(("shared.tflite", graph.bytes(y)))


def pack(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [("cases.json", json.dumps(CASES, indent=0).encode()), *FILES]:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


for group in [of_keras, worths, options_of_lstm, other_recurrent, neighbours, as_converted, refused, sizes]:
    group()
pack(os.path.join(HERE, "tflite.zip"))
print(len(CASES), "cases,", os.path.getsize(os.path.join(HERE, "tflite.zip")), "bytes")
