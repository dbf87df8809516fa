"""Four voices in four threads, beside Python's own steps: python demo.py."""

import sys
import threading

import numpy as np
from voices import Voice

import rnncore as rc

STEPS, VOICES, FEEDBACK = 20_000, 4, 0.5


def by_python(model, samples):
    """The same loop in Python."""
    stream, y = model.stream(), np.zeros(1, np.float32)
    out = np.empty_like(samples)
    for t, sample in enumerate(samples):
        stream.step(np.array([sample, np.float32(FEEDBACK) * y[0]]), out=y)
        out[t] = y[0]
    return out


def main():
    """Compare the threads with Python's serial steps."""
    model = rc.Model([rc.GRU(2, 24), rc.Linear(24, 1)], seed=0)
    xs = [np.random.default_rng(i).standard_normal(STEPS, dtype=np.float32)
          for i in range(VOICES)]
    expected = [by_python(model, x) for x in xs]
    voices, outs = [Voice(model, FEEDBACK) for _ in xs], [np.empty_like(x) for x in xs]
    del model  # the voices live on
    threads = [threading.Thread(target=voice.run, args=(x, out))
               for voice, x, out in zip(voices, xs, outs, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(out.tobytes() != y.tobytes() for out, y in zip(outs, expected, strict=True)):
        sys.exit("threads differ from Python's steps")
    for other in (rc.Model([rc.GRU(1, 4)]), 3):
        try:
            Voice(other, FEEDBACK)
        except ValueError as error:
            print(f"refused: {error}")
        else:
            sys.exit(f"{other} was accepted")
    print(f"{VOICES} threads of {STEPS} steps, the same bits as Python's")


if __name__ == "__main__":
    main()
