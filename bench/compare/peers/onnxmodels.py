"""What runs ONNX models: ONNX Runtime and OpenVINO. They have no gradients here."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..rows import GATES, Problem
from .base import Peer, Work

# ONNX's gates i o f c, and z r h, among PyTorch's i f g o, and r z n.
ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}
OPSET, IR_VERSION = 14, 8  # of 2021: every version of the readers knows them


def onnx_model(problem: Problem) -> bytes:
    """A model of one node: x (T, B, H) to Y (T, 1, B, H) and the final states."""
    from onnx import TensorProto, helper, numpy_helper

    row = problem.row

    def ordered(name: str) -> Any:
        blocks = np.split(problem.weights[name], GATES[row.cell])
        return np.concatenate([blocks[gate] for gate in ORDER[row.cell]])

    arrays = {"W": ordered("weight_ih_l0"), "R": ordered("weight_hh_l0"),
              "B": np.concatenate([ordered("bias_ih_l0"), ordered("bias_hh_l0")])}
    outputs = ["Y", "Y_h", "Y_c"][:3 if row.cell == "LSTM" else 2]
    options = {"linear_before_reset": 1} if row.cell == "GRU" else {}
    node = helper.make_node(row.cell, ["x", *arrays], outputs, hidden_size=row.hidden,
                            **options)
    shapes = {"x": (row.steps, row.batch, row.hidden),
              "Y": (row.steps, 1, row.batch, row.hidden),
              "Y_h": (1, row.batch, row.hidden), "Y_c": (1, row.batch, row.hidden)}
    x, *results = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name])
                   for name in ("x", *outputs))
    graph = helper.make_graph(
        [node], "row", [x], results,
        [numpy_helper.from_array(array[None], name) for name, array in arrays.items()])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)],
                             ir_version=IR_VERSION).SerializeToString()


class OnnxRuntime(Peer):
    """ONNX Runtime on the processor."""

    modules = ("onnxruntime", "onnx")

    def __init__(self, threads: int) -> None:
        import onnxruntime

        super().__init__(threads)
        self.onnxruntime = onnxruntime

    def describe(self) -> str:
        return f"{self.onnxruntime.__version__}, MLAS, CPUExecutionProvider"

    def forward(self, problem: Problem) -> Work:
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        # Its threads would spin for 40 ms after a run; within one they still do.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        session = self.onnxruntime.InferenceSession(
            onnx_model(problem), options, providers=["CPUExecutionProvider"])
        feed = {"x": problem.x}
        return lambda: session.run(None, feed), lambda result: {"y": result[0][:, 0]}


class OpenVino(Peer):
    """OpenVINO as it is by default: in bfloat16 where the processor has it."""

    modules = ("openvino", "onnx")
    exact = False
    hints: dict[str, str] = {}

    def __init__(self, threads: int) -> None:
        import openvino

        super().__init__(threads)
        self.openvino, self.core = openvino, openvino.Core()

    def describe(self) -> str:
        short = "BF16" in self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bfloat16" if short and not self.exact else "float32"
        version = self.openvino.__version__.partition("-")[0]
        return f"{version}, oneDNN, {precision}, latency hint"

    def forward(self, problem: Problem) -> Work:
        settings = {"INFERENCE_NUM_THREADS": self.threads, "PERFORMANCE_HINT": "LATENCY",
                    **self.hints}
        compiled = self.core.compile_model(self.core.read_model(onnx_model(problem)), "CPU",
                                           settings)
        request, x = compiled.create_infer_request(), problem.x
        return (lambda: request.infer({0: x}, share_inputs=True, share_outputs=True),
                lambda result: {"y": np.array(result[0][:, 0])})


class OpenVinoFloat32(OpenVino):
    """OpenVINO, held to float32."""

    exact = True
    hints = {"INFERENCE_PRECISION_HINT": "f32"}
