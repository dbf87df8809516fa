"""The parent's end: a process for each library and number of threads."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from .machine import cpus_for
from .peers import PEERS

BENCH = Path(__file__).resolve().parents[1]
# Settings of others that would change what is measured; OPENBLAS_CORETYPE alone can cost half.
CLEARED = ("OPENBLAS_", "GOTO_", "OMP_", "GOMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_",
           "TORCH_", "ORT_", "OV_", "TBB_", "XLA_", "JAX_", "RNNCORE_GEMM", "RNNCORE_NUM_")


def installed() -> list[str]:
    """The names of the libraries whose modules can be imported."""
    return [name for name, peer in PEERS.items()
            if all(importlib.util.find_spec(module) for module in peer.modules)]


def cleared() -> dict[str, str]:
    """The environment without the settings that change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith(CLEARED)}


class Lane:
    """A library in a process of its own, on as many CPUs as it has threads.

    Parameters
    ----------
    library : str
        A key of `PEERS`, or "probe".
    threads : int
        How many threads it uses.
    folder : path, optional
        Where to import from first: a build of a library.
    name : str, optional
        What it is called in results; `library` if None.

    Raises
    ------
    RuntimeError
        From `ask`, if the process reports an error or has ended.
    """

    def __init__(self, library: str, threads: int, folder: str | Path | None = None,
                 name: str | None = None) -> None:
        self.library, self.threads, self.name = library, threads, name or library
        own = PEERS[library].environment if library in PEERS else {}
        folders = [str(BENCH)] if folder is None else [str(BENCH), str(folder)]
        environment = {**cleared(), **own, "PYTHONPATH": os.pathsep.join(folders)}
        cpus = ",".join(map(str, cpus_for(threads)))
        # -P: what lies in the present folder is not what is measured.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "compare.pinned", cpus, library, str(threads)],
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
            start_new_session=True)  # Ctrl-C is the parent's

    def ask(self, method: str, *arguments: Any) -> Any:
        """Let the process do something, and wait for the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or "{}")
        except BrokenPipeError:
            answer = {}
        if "value" not in answer:
            raise RuntimeError(f"{self.name}, {self.threads} threads: "
                               f"{answer.get('error', 'its process has ended')}")
        return answer["value"]

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
