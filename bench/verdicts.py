"""How often `rnncore.analysis.diagnose` is right, on sources of which the answer is known.

    python bench/verdicts.py --nets 20

Temporal order depends on what is long ago; a first-order Markov chain, of which the next symbol
is predicted, on nothing but the last symbol. Nets of four cells are trained on each. On
temporal order `diagnose` is right if it finds the dependence and says "healthy" of the nets
that have learnt the task (less than 10 % wrong), and of no others; on the Markov source if it
finds no dependence, and so nothing to mend.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import numpy as np

import rnncore as rc
from rnncore.analysis import diagnose

STEPS, HIDDEN, ROWS, SYMBOLS = 24, 24, 32, 6
CELLS = {
    "RNN sigmoid": lambda: rc.RNN(SYMBOLS, HIDDEN, activation="sigmoid"),
    "RNN tanh": lambda: rc.RNN(SYMBOLS, HIDDEN),
    "GRU": lambda: rc.GRU(SYMBOLS, HIDDEN),
    "LSTM": lambda: rc.LSTM(SYMBOLS, HIDDEN),
}


class Markov:
    """Sequences of a first-order chain with random transitions; y is the next symbol."""

    output_size = SYMBOLS

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.moves = np.cumsum(self.rng.dirichlet(np.full(SYMBOLS, 0.5), SYMBOLS), axis=1)

    def sample(self, rows):
        chain = np.empty((STEPS + 1, rows), int)
        chain[0] = self.rng.integers(SYMBOLS, size=rows)
        for t in range(STEPS):
            drawn = self.rng.random(rows)[:, None] > self.moves[chain[t]]
            chain[t + 1] = np.minimum(drawn.sum(axis=1), SYMBOLS - 1)
        return np.eye(SYMBOLS, dtype=np.float32)[chain[:-1]], chain[1:]


def trained(layer, source, last, updates, seed):
    head = [rc.Last()] if last else []
    model = rc.Model([layer, *head, rc.Linear(HIDDEN, source.output_size)], "cross_entropy",
                     seed=seed)
    optimizer = rc.Adam(lr=5e-3)
    for _ in range(updates):
        model.loss_and_grad(*source.sample(ROWS))
        model.clip_norm(1.0)
        optimizer.step(model)
    return model


def row(source_name, cell, nets, updates):
    """What is said of the nets of one cell on one source, and how often it is right."""
    verdicts, found, solved, right = Counter(), 0, 0, 0
    for seed in range(nets):
        order = source_name == "temporal order"
        source = rc.tasks.TemporalOrder(STEPS, seed=seed) if order else Markov(seed)
        model = trained(CELLS[cell](), source, order, updates, seed)
        said = diagnose(model, *source.sample(1000), seed=seed)
        learnt = order and source.error_rate(model, sequences=1000) < 0.1
        verdicts[said.verdict] += 1
        found, solved = found + said.dependence.long, solved + learnt
        right += (said.dependence.long and (said.verdict == "healthy") == learnt) if order \
            else not (said.dependence.long or said.problem)
    return verdicts, found, solved, right


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nets", type=int, default=20, help="of each cell and source")
    parser.add_argument("--updates", type=int, default=600, help="of each net's training")
    arguments = parser.parse_args()
    names = ("vanishing", "unused", "exploding", "healthy")
    print(f"{'source':15} {'cell':12} " + " ".join(f"{n:>9}" for n in names)
          + "   dependence  learnt   right")
    total = count = 0
    for source in ("temporal order", "Markov"):
        for cell in CELLS:
            verdicts, found, solved, right = row(source, cell, arguments.nets,
                                                 arguments.updates)
            print(f"{source:15} {cell:12} " + " ".join(f"{verdicts[n]:9}" for n in names)
                  + f" {found:12} {solved:7} {right:7}", flush=True)
            total, count = total + right, count + arguments.nets
    print(f"right: {total} of {count}")


if __name__ == "__main__":
    sys.exit(main())
