"""Search with some beams, and try all continuations besides: python demo.py."""

import itertools
import sys

import numpy as np
from beamsearch import Search

import rnncore as rc

SYMBOLS, LENGTH = 5, 3


def score(model, prompt, path):
    """The logarithm of the probability of a continuation, by Python."""
    symbols = np.array([*prompt, *path])
    y, _ = model.infer(symbols[:-1])
    y = y[len(prompt) - 1:].astype(float)
    logs = y - np.log(np.exp(y).sum(axis=1, keepdims=True))
    return logs[np.arange(len(path)), list(path)].sum()


def main():
    """All beams have the scores that Python finds, and the most find the likeliest of all."""
    model = rc.Model([rc.Embedding(SYMBOLS, 4), rc.LSTM(4, 20), rc.Linear(20, SYMBOLS)], seed=0)
    with model.writable() as flat:
        flat *= 3  # an untrained network has no favourites
    prompt = [1, 2, 0]
    every = sorted(((score(model, prompt, path), path)
                    for path in itertools.product(range(SYMBOLS), repeat=LENGTH)), reverse=True)
    for beams in (1, 3, SYMBOLS):
        paths, scores = Search(model, beams).run(prompt, LENGTH)
        for path, found in zip(paths, scores, strict=True):
            if abs(found - score(model, prompt, path)) > 1e-5:
                sys.exit(f"{path} has the score {found}, expected {score(model, prompt, path)}")
        print(f"{beams} beams: {paths[0]} with {scores[0]:.4f}")
    if tuple(paths[0]) != every[0][1]:
        sys.exit(f"found {paths[0]}, expected {every[0][1]}")
    try:
        Search(model, 2).run([SYMBOLS], LENGTH)
    except ValueError as error:
        print(f"refused: {error}")
    else:
        sys.exit("a symbol that the model does not have was accepted")
    print(f"the likeliest of {len(every)} continuations, with the scores of Python")


if __name__ == "__main__":
    main()
