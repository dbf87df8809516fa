"""What a step of a stream costs: from Python, from C, and in ONNX Runtime if it is installed.

    pytest bench/test_stream.py --benchmark-columns=median

One row, float32, one layer I->H. Times are of STEPS steps. The loop in C, which calls the
functions of rnncore.h, is compiled anew for each run of this file: it needs Cython.
"""

from __future__ import annotations

import numpy as np
import pytest

import rnncore as rc

KINDS = {"LSTM": rc.LSTM, "GRU": rc.GRU, "RNN": rc.RNN}
SHAPES = [(1, 16), (1, 32), (1, 64), (64, 64)]  # I, H
STEPS = 10_000


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=lambda shape: "{}->{}".format(*shape))
def shape(request):
    return request.param


@pytest.fixture
def measure(benchmark, shape):
    benchmark.group = "{}->{}".format(*shape)

    def run(function):
        benchmark.pedantic(function, rounds=15, iterations=1, warmup_rounds=2)
        if benchmark.stats is not None:  # None with --benchmark-disable
            benchmark.extra_info["ns/step"] = round(benchmark.stats["median"] / STEPS * 1e9, 1)

    return run


@pytest.fixture
def stream(kind, shape):
    return rc.Model([KINDS[kind](*shape)], seed=0).stream()


@pytest.fixture
def arrays(shape):
    x = np.random.default_rng(0).standard_normal((1, shape[0]), dtype=np.float32)
    return x, np.empty((1, shape[1]), np.float32)


@pytest.fixture(scope="session")
def steps(compiled):
    """The module steps.pyx."""
    return compiled("steps")


def test_from_c(measure, kind, shape, arrays, steps):
    x, y = (array.reshape(-1) for array in arrays)
    loop = steps.Steps(rc.Model([KINDS[kind](*shape)], seed=0))
    measure(lambda: loop.run(x, y, STEPS))


def test_from_c_keeping_the_mode(measure, kind, shape, arrays, steps):
    x, y = (array.reshape(-1) for array in arrays)
    loop = steps.Steps(rc.Model([KINDS[kind](*shape)], seed=0), keep_mode=True)
    measure(lambda: loop.run(x, y, STEPS))


def test_from_python(measure, stream, arrays):
    x, y = arrays

    def run():
        step = stream.step
        for _ in range(STEPS):
            step(x, out=y)

    measure(run)


def test_onnxruntime(measure, kind, shape):
    run = session(kind, *shape)
    measure(lambda: [run() for _ in range(STEPS)])


def session(kind, inputs, hidden):
    """One step of ONNX Runtime on one thread, from a state."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    helper, single = onnx.helper, onnx.TensorProto.FLOAT
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind] * hidden
    letters = ("h", "c") if kind == "LSTM" else ("h",)
    weights = {"W": (1, gates, inputs), "R": (1, gates, hidden), "B": (1, 2 * gates)}
    rng = np.random.default_rng(0)

    def values(shapes):
        return [helper.make_tensor_value_info(n, single, s) for n, s in shapes.items()]

    given = {"x": (1, 1, inputs), **dict.fromkeys(letters, (1, 1, hidden))}
    node = helper.make_node(
        kind, ["x", *weights, "", *letters], ["y", *(f"{letter}_last" for letter in letters)],
        hidden_size=hidden, **({"linear_before_reset": 1} if kind == "GRU" else {}))
    graph = helper.make_graph(
        [node], "step", values(given),
        values({"y": (1, 1, 1, hidden), **{f"{n}_last": (1, 1, hidden) for n in letters}}),
        [onnx.numpy_helper.from_array(rng.uniform(-.1, .1, s).astype(np.float32), n)
         for n, s in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    made = runtime.InferenceSession(model.SerializeToString(), options,
                                    providers=["CPUExecutionProvider"])
    feed = {name: np.ones(shape, np.float32) for name, shape in given.items()}
    return lambda: made.run(None, feed)
