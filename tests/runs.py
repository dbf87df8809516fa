"""Training runs with everything in them that a checkpoint must bring back, and their killer.

Run as a program with a name and a file, it trains with that checkpoint and prints the bits of
the parameters at the end.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np

import rnncore as rc

F32 = np.float32
T, B, K, C = 12, 6, 3, 2


class Endless:
    """Batches without an end, whose place is a number."""

    def __init__(self):
        self.count = 0

    def __iter__(self):
        return self

    def __next__(self):
        rng = np.random.default_rng(self.count)
        self.count += 1
        return rng.standard_normal((T, B, K)).astype(F32), rng.integers(0, C, (T, B))

    def state_dict(self):
        return {"count": self.count}

    def load_state_dict(self, state):
        self.count = state["count"]


def _arrays(seed=0):
    return next(iter(_from(seed)))


def _from(seed):
    task = Endless()
    task.load_state_dict({"count": seed})
    return task


def _ragged():
    rng = np.random.default_rng(1)
    return [(rng.standard_normal((n, K)).astype(F32), rng.integers(0, C, n))
            for n in rng.integers(1, T, 20)]


RUNS = {
    "carried": lambda: (_arrays(), {"tbptt": 3, "batch_size": 4, "epochs": 3}),
    "windows": lambda: (_arrays(), {"tbptt": (2, 5), "batch_size": 4, "epochs": 2,
                                    "omega": rc.Omega(0.5, schedule="1/t"), "clip_step": 1.0,
                                    "optimizer": rc.SGD(0.1, 0.9)}),
    "dropout": lambda: (_arrays(), {"batch_size": 2, "epochs": 4,
                                    "schedule": rc.WarmUp(5, rc.HalveOnWorse())}),
    "momentum": lambda: (_arrays(), {"batch_size": 2, "epochs": 4, "seed": 5, "tbptt": 5,
                                     "optimizer": rc.SGD(0.1, 0.9), "clip_norm": 0.5}),
    "early stopping": lambda: (_arrays(), {"batch_size": 2, "epochs": 30, "valid": _arrays(1),
                                           "early_stopping": 3,
                                           "optimizer": rc.Adam(0.05)}),
    "ragged": lambda: (_ragged(), {"batch_size": 4, "epochs": 3, "tbptt": 4}),
    "endless": lambda: (Endless(), {"updates_per_epoch": 5, "epochs": 3, "tbptt": 5,
                                    "optimizer": rc.RMSprop(0.01, momentum=0.5)}),
    "constrained": lambda: (_arrays(), {"batch_size": 2, "epochs": 3, "clip_value": 0.1,
                                        "optimizer": rc.SGD(0.1), "checkpoint_every": 4,
                                        "regularizers": [rc.OrthogonalPenalty(0.1)],
                                        "constraints": [rc.Orthogonal()]}),
}


def fitted(name, data=None, **options):
    """The model and the history of a run, and what else the fit is to know."""
    own, settings = RUNS[name]()
    model = rc.Model([rc.LSTM(K, 5, num_layers=2, dropout=0.3), rc.Linear(5, C)],
                     "cross_entropy", seed=0)
    history = model.fit(own if data is None else data, **settings, **options)
    return model, history


def continued(name, path, kills, seed):
    """The parameters' bytes at the end of a run that is killed now and then, and resumed."""
    random_times = random.Random(seed)
    for _ in range(kills):
        child = _child(name, path)
        assert child.stdout.readline() == b"started\n"
        time.sleep(random_times.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        child.communicate()
    child = _child(name, path)
    out, _ = child.communicate()
    assert child.returncode == 0
    return bytes.fromhex(out.split()[-1].decode())


def _child(name, path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, __file__, name, os.fspath(path)],
                            stdout=subprocess.PIPE, env=environment)


if __name__ == "__main__":
    print("started", flush=True)
    model, _ = fitted(sys.argv[1], checkpoint=sys.argv[2], checkpoint_updates=1, resume=True,
                      callbacks=[lambda *_: time.sleep(0.01)])
    print(model.parameters.astype(np.float64).tobytes().hex())
