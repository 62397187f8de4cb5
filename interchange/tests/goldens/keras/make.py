"""Writes tiny models of Keras 3 and Keras 2 with random weights, an input of each and what the framework computes of it.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python make.py 3      # keras3.zip
    venv/bin/python make.py 2      # keras2.zip, with what Keras 1 and the CuDNN layers wrote

An archive holds the models and `cases.json`: a list of {name, file, x, y, shape}, x and y flat. Where `ids` is true x holds ids. Where `stream` is true
the model is called step by step, and its state is carried. `y` is that of the file as it is read again, where the framework can read it.
"""

import io
import json
import os
import sys
import tempfile
import zipfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import h5py
import numpy as np

ERA = sys.argv[1]
if ERA == "3":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
else:
    import tf_keras as keras

L = keras.layers
STEPS, CHANNELS, WORDS = 6, 3, 7


def series(steps=STEPS, channels=CHANNELS, seed=1):
    return np.random.default_rng(seed).normal(size=(1, steps, channels)).astype("float32")


def ids(steps=STEPS):
    return np.array([[3, 1, 6, 2, 5, 4][:steps]], dtype="int32")


def sequential(*layers, shape=(STEPS, CHANNELS), **options):
    return keras.Sequential([L.Input(shape=shape), *layers], **options)


def words(*layers, mask=False, steps=None):
    return sequential(L.Embedding(WORDS, 4, mask_zero=mask), *layers, shape=(steps,))


def functional(*layers, shape=(None, CHANNELS)):
    x = source = L.Input(shape=shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(source, x)


def randomize(model, seed=7):
    """Every weight random, variances positive; a count stays a count."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        name = (getattr(weight, "path", "") or weight.name).lower()
        if "count" in name or "seed" in name or "int" in str(weight.dtype):
            continue
        value = random.normal(scale=0.5, size=weight.shape)
        if "variance" in name:
            value = np.abs(value) + 0.2
        weight.assign(value.astype("float32"))
    return model


CASES = []


def case(name, build, x=None, files=("keras", "h5"), **options):
    CASES.append((name, build, series() if x is None else x, files, options))


def cells():
    for name, layer in [("lstm", L.LSTM), ("gru", L.GRU), ("rnn", L.SimpleRNN)]:
        case(f"{name}-dense", lambda layer=layer: sequential(layer(4), L.Dense(2)))
        case(f"{name}-each-step", lambda layer=layer: sequential(layer(4, return_sequences=True), L.Dense(2)))
        case(f"{name}-no-bias", lambda layer=layer: sequential(layer(3, use_bias=False), L.Dense(1, use_bias=False)))
        case(f"{name}-relu", lambda layer=layer: sequential(layer(3, activation="relu"), L.Dense(1)))
        case(f"{name}-backwards", lambda layer=layer: sequential(layer(3, go_backwards=True), L.Dense(1)))
        case(
            f"{name}-backwards-each-step",
            lambda layer=layer: sequential(layer(3, go_backwards=True, return_sequences=True), layer(2), L.Dense(1)),
        )
        case(
            f"{name}-three-layers",
            lambda layer=layer: functional(
                layer(4, return_sequences=True), layer(3, return_sequences=True), layer(2), L.Dense(3, activation="softmax")
            ),
        )
    for name, layer in [("lstm", L.LSTM), ("gru", L.GRU)]:
        case(
            f"{name}-hard-sigmoid",
            lambda layer=layer: sequential(layer(4, recurrent_activation="hard_sigmoid"), L.Dense(2, activation="sigmoid")),
        )
        case(f"{name}-linear-candidates", lambda layer=layer: sequential(layer(3, activation="linear"), L.Dense(1)))
    case("lstm-no-forget-bias", lambda: sequential(L.LSTM(3, unit_forget_bias=False), L.Dense(1)), files=("h5",))
    case("gru-reset-before", lambda: sequential(L.GRU(4, reset_after=False), L.Dense(2)))
    case("gru-reset-before-no-bias", lambda: sequential(L.GRU(3, reset_after=False, use_bias=False), L.Dense(2)), files=("keras",))


def directions():
    for merge in ["concat", "sum", "mul", "ave"]:
        case(f"bidirectional-{merge}", lambda merge=merge: sequential(L.Bidirectional(L.LSTM(3), merge_mode=merge), L.Dense(2)))
        case(
            f"bidirectional-{merge}-each-step",
            lambda merge=merge: sequential(
                L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode=merge), L.TimeDistributed(L.Dense(2))
            ),
        )
    case(
        "bidirectional-two-layers",
        lambda: functional(
            L.Bidirectional(L.LSTM(3, return_sequences=True)), L.Bidirectional(L.SimpleRNN(2)), L.Dense(1, activation="sigmoid")
        ),
    )
    case(
        "bidirectional-of-two-cells",
        lambda: sequential(L.Bidirectional(L.LSTM(3), backward_layer=L.GRU(3, go_backwards=True)), L.Dense(1)),
        files=("keras",),
    )


def texts():
    case("embedding-lstm", lambda: words(L.LSTM(4), L.Dense(1, activation="sigmoid")), ids())
    case("embedding-mean", lambda: words(L.GlobalAveragePooling1D(), L.Dense(3, activation="softmax")), ids())
    padded = np.array([[0, 3, 0, 2, 5, 0]], dtype="int32")
    case("embedding-mask-zero", lambda: words(L.LSTM(4), L.Dense(2), mask=True), padded)
    case("embedding-mask-zero-functional", lambda: masked_functional(), padded)
    case("embedding-mask-zero-tags", lambda: words(L.GRU(3, return_sequences=True), L.Dense(2, activation="softmax"), mask=True), padded)
    case("embedding-mask-zero-mean", lambda: words(L.LSTM(3, return_sequences=True), L.GlobalAveragePooling1D(), L.Dense(2), mask=True), padded)
    case("embedding-mask-zero-both-ways", lambda: words(L.Bidirectional(L.LSTM(3, return_sequences=True)), L.LSTM(2), L.Dense(2), mask=True), padded)
    case("embedding-mask-zero-both-ways-last", lambda: words(L.Bidirectional(L.GRU(3)), L.Dense(2), mask=True), padded)
    case("embedding-mask-zero-backwards", lambda: words(L.LSTM(3, go_backwards=True, return_sequences=True), L.LSTM(2), L.Dense(2), mask=True), padded)
    case("embedding-spatial-dropout", lambda: words(L.SpatialDropout1D(0.3), L.GRU(3, dropout=0.2, recurrent_dropout=0.1), L.Dropout(0.5), L.Dense(1)), ids())
    case("embedding-conv-max", lambda: words(L.Conv1D(4, 2, activation="relu"), L.GlobalMaxPooling1D(), L.Dense(2)), ids())


def masked_functional():
    source = L.Input(shape=(None,))
    x = L.Embedding(WORDS, 4, mask_zero=True)(source)
    x = L.LSTM(3, return_sequences=True)(x)
    return keras.Model(source, L.Dense(2)(L.LSTM(2)(x)))


def masks():
    gaps = series()
    gaps[0, [0, 3]] = -1.0
    case("masking-lstm", lambda: sequential(L.Masking(-1.0), L.LSTM(3), L.Dense(1)), gaps)
    case("masking-gru-each-step", lambda: sequential(L.Masking(-1.0), L.GRU(3, return_sequences=True), L.Dense(1)), gaps)
    case("masking-functional", lambda: functional(L.Masking(-1.0), L.SimpleRNN(3), L.Dense(1)), gaps)
    case("masking-zero-mean", lambda: sequential(L.Masking(), L.Dense(4, activation="tanh"), L.GlobalAveragePooling1D(), L.Dense(1)), np.where(gaps == -1.0, 0.0, gaps).astype("float32"))


def windows():
    for padding in ["valid", "causal", "same"]:
        case(f"conv-{padding}", lambda padding=padding: sequential(L.Conv1D(4, 3, padding=padding, activation="relu"), L.LSTM(3), L.Dense(1)))
    case("conv-even-same", lambda: sequential(L.Conv1D(4, 4, padding="same"), L.GRU(3), L.Dense(1)))
    case("conv-stride", lambda: sequential(L.Conv1D(4, 2, strides=2, activation="tanh"), L.GRU(3), L.Dense(1)))
    case("conv-causal-stride", lambda: sequential(L.Conv1D(4, 3, strides=2, padding="causal", use_bias=False), L.GRU(3), L.Dense(1)))
    case("conv-max-pooling", lambda: sequential(L.Conv1D(4, 2), L.MaxPooling1D(2), L.LSTM(3), L.Dense(1)))
    case("max-pooling-overlapping", lambda: sequential(L.MaxPooling1D(3, strides=1), L.LSTM(3), L.Dense(1)))
    case("global-max", lambda: sequential(L.LSTM(3, return_sequences=True), L.GlobalMaxPooling1D(), L.Dense(1)))
    case("global-average", lambda: sequential(L.LSTM(3, return_sequences=True), L.GlobalAveragePooling1D(), L.Dense(1)))


def norms():
    case("batch-norm-behind-conv", lambda: sequential(L.Conv1D(4, 3, padding="causal"), L.BatchNormalization(), L.Activation("relu"), L.LSTM(3), L.Dense(1)))
    case("batch-norm-before-lstm", lambda: sequential(L.BatchNormalization(), L.LSTM(3), L.BatchNormalization(), L.Dense(1)))
    case("batch-norm-behind-mean", lambda: sequential(L.GRU(3, return_sequences=True), L.BatchNormalization(), L.GlobalAveragePooling1D(), L.Dense(1)))
    case("batch-norm-no-scale", lambda: sequential(L.LSTM(3), L.Dense(4), L.BatchNormalization(scale=False, epsilon=0.01), L.Activation("tanh"), L.Dense(1)))
    case("batch-norm-no-center-both-ways", lambda: sequential(L.Bidirectional(L.GRU(2, return_sequences=True)), L.BatchNormalization(center=False), L.Bidirectional(L.GRU(2, reset_after=True)), L.Dense(1)))
    case("batch-norm-behind-embedding", lambda: words(L.BatchNormalization(), L.LSTM(3), L.Dense(1)), ids())
    case("batch-norm-before-valid-conv", lambda: sequential(L.BatchNormalization(), L.Conv1D(3, 2), L.GRU(3), L.Dense(1)))
    case("layer-norm", lambda: sequential(L.LSTM(4, return_sequences=True), L.LayerNormalization(), L.GRU(3), L.LayerNormalization(epsilon=0.01), L.Dense(1)))
    case("layer-norm-plain", lambda: sequential(L.LSTM(4), L.LayerNormalization(center=False, scale=False), L.Dense(1)))
    case("normalization", lambda: adapted(), files=("keras", "h5"))
    case("normalization-said", lambda: sequential(L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.5]), L.LSTM(3), L.Dense(1)), files=("keras", "h5"))
    case("normalization-behind-masking", lambda: sequential(L.Masking(), L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 0.5]), L.LSTM(3), L.Dense(1)), files=("keras",))


def adapted():
    layer = L.Normalization()
    layer.adapt(3.0 * series(50, seed=5)[0] + 1.0)
    return sequential(layer, L.LSTM(3), L.Dense(1))


def shapes():
    case("flatten-behind-last", lambda: sequential(L.LSTM(4), L.Flatten(), L.Dense(1)))
    case("flatten-one-step", lambda: sequential(L.LSTM(4, return_sequences=True), L.Flatten(), L.Dense(1), shape=(1, CHANNELS)), series(1))
    case("reshape-first", lambda: sequential(L.Reshape((STEPS, 1)), L.LSTM(3), L.Dense(1), shape=(STEPS,)), series(1, STEPS)[0])
    case("activation-layers", lambda: sequential(L.LSTM(3), L.Activation("tanh"), L.Dense(4), L.ReLU(), L.Dense(3), L.Softmax() if ERA == "3" else L.Activation("softmax")))
    case("activations", lambda: sequential(L.TimeDistributed(L.Dense(3, activation="tanh")), L.LSTM(3), L.Dense(3, activation="sigmoid"), L.Dense(3, activation="hard_sigmoid"), L.Dense(2, activation="relu")))
    case("time-distributed", lambda: sequential(L.TimeDistributed(L.Dropout(0.5)), L.TimeDistributed(L.Dense(3)), L.LSTM(2, return_sequences=True), L.TimeDistributed(L.Dense(2, activation="softmax"))))
    case("time-distributed-norms", lambda: sequential(L.TimeDistributed(L.BatchNormalization()), L.LSTM(3, return_sequences=True), L.TimeDistributed(L.LayerNormalization()), L.GRU(2), L.Dense(1)))
    case("gaussian-noise", lambda: sequential(L.GaussianNoise(0.5), L.LSTM(2), L.Dense(1)), files=("keras",))
    case("functional-named", lambda: keras.Model(*named()), files=("keras", "h5"))
    case("dense-alone", lambda: sequential(L.Dense(4, activation="relu"), L.Dense(2), shape=(CHANNELS,)), series(1)[0])
    case("stateful", lambda: stateful(), series(), files=("keras", "h5"), stream=True)
    case("states-as-inputs", lambda: states(), series(), files=("keras", "h5"), states=True)
    case("rnn-of-a-cell", lambda: sequential(L.RNN(L.LSTMCell(3)), L.Dense(1)), files=("keras",))
    case("two-of-a-kind-out-of-order", lambda: sequential(L.LSTM(3, return_sequences=True, name="second"), L.LSTM(3, name="first"), L.Dense(3, name="z"), L.Dense(3, name="a")))
    case("many-layers", lambda: sequential(*[L.Dense(2, activation="tanh") for _ in range(12)], L.GRU(2), L.Dense(1)), files=("keras",))


def named():
    source = L.Input(shape=(None, CHANNELS), name="sensor")
    x = L.LSTM(3, name="memory", return_sequences=True)(source)
    return source, L.Dense(2, name="answer")(x)


def within():
    """Models within models, and cells one above the other."""
    def encoder(*layers, shape=(STEPS, 4), name="encoder"):
        return sequential(*layers, shape=shape, name=name)

    case("nested-sequential", lambda: sequential(L.Dense(4), encoder(L.LSTM(3, return_sequences=True), L.BatchNormalization(), L.Dense(3), L.LSTM(2)), L.Dense(2)))

    def outer(inner):
        source = L.Input(shape=(STEPS, CHANNELS))
        return keras.Model(source, L.Dense(1)(inner(L.Dense(4)(source))))

    case("nested-functional", lambda: outer(functional(L.LSTM(3, return_sequences=True), L.GRU(2), shape=(STEPS, 4))))
    case("nested-sequential-in-functional", lambda: outer(encoder(L.Bidirectional(L.LSTM(3)), L.Dense(2, activation="relu"))))
    case("nested-first", lambda: keras.Sequential([functional(L.GRU(3, return_sequences=True)), L.LSTM(2), L.Dense(1)]))
    case("nested-twice", lambda: sequential(encoder(L.LSTM(4, return_sequences=True), shape=(STEPS, CHANNELS), name="lower"), encoder(L.Dense(3), L.LSTM(2), name="upper"), L.Dense(2)))
    deepest = lambda: encoder(L.GRU(3, return_sequences=True), L.Dense(2), name="deepest")
    case("nested-deep", lambda: sequential(L.Dense(4), encoder(L.LSTM(4, return_sequences=True), deepest(), L.LSTM(2), name="deep"), L.Dense(1)))
    padded = np.array([[0, 3, 0, 2, 5, 0]], dtype="int32")
    case("nested-masked", lambda: sequential(encoder(L.Embedding(WORDS, 4, mask_zero=True), L.LSTM(3, return_sequences=True), shape=(None,)), L.GRU(2), L.Dense(2), shape=(None,)), padded)
    case("nested-stateful", lambda: keras.Sequential([L.Input(batch_shape=(1, 1, CHANNELS)), keras.Sequential([L.Input(batch_shape=(1, 1, CHANNELS)), L.LSTM(3, stateful=True)]), L.Dense(1)]), series(), stream=True)
    case("nested-many-tensors", lambda: sequential(encoder(*[L.LSTM(2, return_sequences=True) for _ in range(9)], shape=(STEPS, CHANNELS)), L.GRU(2), L.Dense(1)))
    cells = lambda bias=True: L.StackedRNNCells([L.LSTMCell(3, use_bias=bias), L.LSTMCell(4, use_bias=bias), L.GRUCell(2), L.SimpleRNNCell(3, use_bias=bias)])
    case("stacked-cells", lambda: sequential(L.RNN(cells()), L.Dense(2)))
    case("stacked-cells-each-step", lambda: functional(L.RNN(cells(False), return_sequences=True), L.Dense(2)))
    case("stacked-cells-backwards", lambda: sequential(L.RNN(L.StackedRNNCells([L.GRUCell(3), L.LSTMCell(2)]), go_backwards=True, return_sequences=True), L.LSTM(2), L.Dense(1)))
    case("stacked-cells-one", lambda: sequential(L.RNN(L.StackedRNNCells([L.GRUCell(3, reset_after=False)])), L.Dense(1)))
    case("stacked-cells-masked", lambda: words(L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(2)])), L.Dense(2), mask=True), padded)
    case("stacked-cells-nested", lambda: sequential(L.Dense(4), encoder(L.RNN(L.StackedRNNCells([L.LSTMCell(3), L.LSTMCell(2)])), L.Dense(3)), L.Dense(2)))


def stateful():
    shape = {"batch_shape": (1, 1, CHANNELS)}
    return keras.Sequential([L.Input(**shape), L.GRU(3, stateful=True, return_sequences=True), L.LSTM(3, stateful=True), L.Dense(1)])


def states():
    source, h, c = L.Input(shape=(1, CHANNELS)), L.Input(shape=(3,)), L.Input(shape=(3,))
    y, h1, c1 = L.LSTM(3, return_state=True)(source, initial_state=[h, c])
    return keras.Model([source, h, c], [L.Dense(2)(y), h1, c1])


def computed(model, x, options):
    if options.get("stream"):
        return np.concatenate([np.asarray(model(x[:, step : step + 1])) for step in range(x.shape[1])])
    if options.get("states"):
        import tensorflow

        state, ys = [tensorflow.zeros((1, 3))] * 2, []
        for step in range(x.shape[1]):
            y, *state = model([tensorflow.constant(x[:, step : step + 1]), *state])
            ys.append(np.asarray(y))
        return np.concatenate(ys)
    return np.asarray(model(x))


def save(model, suffix, **options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"model.{suffix}")
        model.save(path, **options)
        return open(path, "rb").read()


def record(name, file, x, y, **more):
    flat = lambda a: [float(np.float32(v)) for v in np.asarray(a).ravel()]
    entry = {"name": name, "file": file, "x": flat(x), "y": flat(y), "ids": str(x.dtype).startswith("int"), **more}
    return entry


def vectorization():
    """Keras 3 keeps a vocabulary in the archive."""
    vector = L.TextVectorization(vocabulary=["the", "cat", "sat", "mat", "dont"], output_mode="int")
    source = L.Input(shape=(1,), dtype="string")
    x = L.LSTM(3)(L.Embedding(7, 4, mask_zero=True)(vector(source)))
    model = randomize(keras.Model(source, L.Dense(1, activation="sigmoid")(x)))
    import tensorflow

    y = np.asarray(model(tensorflow.constant([["The cat sat on the mat"]])))
    return model, np.array([[2, 3, 4, 1, 2, 5]], dtype="int32"), y


def keras_1(model, cell):
    """The file that Keras 1 would have written of these weights: one tensor a gate, the configuration's old words."""
    gates = {"LSTM": "ifco", "GRU": "zrh", "SimpleRNN": ""}[cell]
    recurrent, dense = [layer for layer in model.layers if layer.weights]
    kernel, inner, bias = [np.asarray(weight) for weight in recurrent.get_weights()]
    units = recurrent.units
    blocks = {g: [a[..., n * units : (n + 1) * units] for a in (kernel, inner, bias)] for n, g in enumerate(gates or "_")}
    order = {"LSTM": "icfo", "GRU": "zrh", "SimpleRNN": "_"}[cell]
    tensors = []
    for gate in order:
        for letter, block in zip("WUb", blocks[gate]):
            tensors.append((f"{cell.lower()}_1_{letter}" + (f"_{gate}" if gates else ""), block))
    dense_tensors = [(f"dense_1_{letter}", np.asarray(weight)) for letter, weight in zip("Wb", dense.get_weights())]
    old = {"name": f"{cell.lower()}_1", "output_dim": units, "activation": "tanh", "return_sequences": False, "go_backwards": False, "stateful": False, "unroll": False, "consume_less": "cpu", "input_dim": CHANNELS, "input_length": None, "batch_input_shape": [None, None, CHANNELS], "trainable": True, "init": "glorot_uniform", "inner_init": "orthogonal", "W_regularizer": None, "U_regularizer": None, "b_regularizer": None, "dropout_W": 0.0, "dropout_U": 0.0}
    if gates:
        old["inner_activation"] = "hard_sigmoid"
    config = {"class_name": "Sequential", "config": [
        {"class_name": cell, "config": old},
        {"class_name": "Dropout", "config": {"name": "dropout_1", "p": 0.5, "trainable": True}},
        {"class_name": "Dense", "config": {"name": "dense_1", "output_dim": int(dense.units), "activation": "linear", "bias": True, "input_dim": None, "init": "glorot_uniform"}},
    ]}
    return h5(config, "1.2.2", [(f"{cell.lower()}_1", tensors), ("dropout_1", []), ("dense_1", dense_tensors)])


def h5(config, version, layers):
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
        file.attrs["keras_version"] = version.encode()
        root = file.create_group("model_weights") if config is not None else file
        root.attrs["layer_names"] = [name.encode() for name, _ in layers]
        root.attrs["keras_version"] = version.encode()
        root.attrs["backend"] = b"tensorflow"
        for layer, tensors in layers:
            group = root.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name, _ in tensors]
            for name, value in tensors:
                group.create_dataset(name, data=value.astype("float32"))
    return memory.getvalue()


def old_files():
    """What today's Keras does not write, from its own weights: files of Keras 1, of the CuDNN layers, and weights alone."""
    for cell, build in [
        ("LSTM", lambda: sequential(L.LSTM(3, recurrent_activation="hard_sigmoid"), L.Dense(2), shape=(None, CHANNELS))),
        ("GRU", lambda: sequential(L.GRU(3, recurrent_activation="hard_sigmoid", reset_after=False), L.Dense(2), shape=(None, CHANNELS))),
        ("SimpleRNN", lambda: sequential(L.SimpleRNN(3), L.Dense(2), shape=(None, CHANNELS))),
    ]:
        model = randomize(build())
        x, y = series(), np.asarray(model(series()))
        data = keras_1(model, cell)
        # Keras 2 reads such weights itself: it must compute the same of them.
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "old.h5")
            with h5py.File(io.BytesIO(data)) as source, h5py.File(path, "w") as target:
                # Keras 2 knows files of Keras 1 by the version that they do not say.
                target.attrs["backend"] = source["model_weights"].attrs["backend"]
                target.attrs["layer_names"] = source["model_weights"].attrs["layer_names"]
                for name in source["model_weights"]:
                    source.copy(source["model_weights"][name], target, name)
                target.attrs["layer_names"] = [n for n in target.attrs["layer_names"] if n != b"dropout_1"]
            again = randomize(build(), seed=99)
            again.load_weights(path)
            assert np.allclose(np.asarray(again(x)), y, atol=1e-6), cell
        yield f"keras1-{cell.lower()}", f"keras1-{cell.lower()}.h5", data, x, y, {}
    for cell, plain in [("CuDNNLSTM", L.LSTM), ("CuDNNGRU", L.GRU)]:
        model = randomize(sequential(plain(3), L.Dense(2)))
        x, y = series(), np.asarray(model(series()))
        recurrent, dense = model.layers
        kernel, inner, bias = recurrent.get_weights()
        count = 4 if cell == "CuDNNLSTM" else 3
        # The inverse of what Keras does as it reads such a file: `_convert_rnn_weights` of hdf5_format.py.
        kernel = np.hstack([np.reshape(k.T, k.shape) for k in np.hsplit(kernel, count)])
        inner = np.hstack([k.T for k in np.hsplit(inner, count)])
        bias = np.concatenate([bias * 0.25, bias * 0.75]) if count == 4 else bias.reshape(-1)
        from tf_keras.src.saving.legacy.hdf5_format import preprocess_weights_for_loading

        back = preprocess_weights_for_loading(recurrent, [kernel, inner, bias], "2", "tensorflow")
        assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(back, recurrent.get_weights())), cell
        config = {"class_name": "Sequential", "config": {"name": "old", "layers": [
            {"class_name": cell, "config": {"name": "cudnn", "units": 3, "return_sequences": False, "go_backwards": False, "stateful": False, "batch_input_shape": [None, None, CHANNELS]}},
            {"class_name": "Dense", "config": {"name": "dense", "units": 2, "activation": "linear", "use_bias": True}},
        ]}}
        tensors = [(f"cudnn/{n}:0", v) for n, v in zip(["kernel", "recurrent_kernel", "bias"], [kernel, inner, bias])]
        heads = [(f"dense/{n}:0", v) for n, v in zip(["kernel", "bias"], dense.get_weights())]
        yield cell.lower(), f"{cell.lower()}.h5", h5(config, "2.2.4", [("cudnn", tensors), ("dense", heads)]), x, y, {}
    model = randomize(words(L.LSTM(4, return_sequences=True), L.Bidirectional(L.GRU(3)), L.Dense(2)))
    chain = "embedding > lstm 4 > bidirectional gru 3 > last > dense 2"
    y = np.asarray(model(ids()))
    for suffix in ["h5", "weights.h5"]:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, f"weights.{suffix}")
            model.save_weights(path)
            yield f"weights-alone-{suffix}", f"alone.{suffix}", open(path, "rb").read(), ids(), y, {"chain": chain}


def pack(path, entries, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in [("cases.json", json.dumps(entries, indent=0).encode()), *files]:
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)


def main():
    for group in [cells, directions, texts, masks, windows, norms, shapes, within]:
        group()
    entries, files = [], []
    for name, build, x, suffixes, options in CASES:
        for suffix in suffixes:
            keras.backend.clear_session()
            try:
                model = build() if name == "normalization" else randomize(build())
                y = computed(model, x, options)
                data = save(model, suffix)
            except Exception as error:
                print("left out:", name, suffix, type(error).__name__, str(error).splitlines()[0][:150])
                continue
            file = f"{name}.{suffix}"
            entries.append(record(f"keras{ERA} {file}", file, x, y))
            files.append((file, data))
    if ERA == "3":
        model, x, y = vectorization()
        entries.append(record("keras3 text-vectorization.keras", "text-vectorization.keras", x, y, text="The cat sat on the mat"))
        files.append(("text-vectorization.keras", save(model, "keras")))
        model = randomize(words(L.LSTM(4, return_sequences=True), L.Bidirectional(L.GRU(3)), L.Dense(2)))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "alone.weights.h5")
            model.save_weights(path)
            chain = "embedding > lstm 4 > bidirectional gru 3 > last > dense 2"
            entries.append(record("keras3 alone.weights.h5", "alone.weights.h5", ids(), np.asarray(model(ids())), chain=chain))
            files.append(("alone.weights.h5", open(path, "rb").read()))
    else:
        for name, file, data, x, y, more in old_files():
            entries.append(record(f"keras2 {name}", file, x, y, **more))
            files.append((file, data))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"keras{ERA}.zip")
    pack(path, entries, files)
    print(len(entries), "cases,", os.path.getsize(path), "bytes")


main()
