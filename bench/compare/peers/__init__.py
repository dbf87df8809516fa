"""The libraries, in the order of the table."""

from __future__ import annotations

from .base import Peer
from .onnxmodels import OnnxRuntime, OpenVino, OpenVinoFloat32
from .own import Rnncore, RnncoreBlas
from .pytorch import Torch
from .xla import Jax

PEERS: dict[str, type[Peer]] = {
    "rnncore": Rnncore,
    "rnncore blas": RnncoreBlas,
    "torch": Torch,
    "onnxruntime": OnnxRuntime,
    "openvino f32": OpenVinoFloat32,
    "openvino": OpenVino,
    "jax": Jax,
}
OURS = ("rnncore", "rnncore blas")
