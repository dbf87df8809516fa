"""Twenty trainings, each killed several times at random moments: all end with the bits of a run
that nothing happened to. Prints a line for each and exits with 1 if any differs. Takes minutes.
"""

from __future__ import annotations

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from runs import RUNS, continued, fitted  # noqa: E402

TRAININGS, KILLS = 20, 6


def main() -> int:
    """Train, kill, resume and compare; return how many runs were wrong."""
    wrong = 0
    for number in range(TRAININGS):
        name = list(RUNS)[number % len(RUNS)]
        expected = fitted(name)[0].parameters.astype(float).tobytes()
        with tempfile.TemporaryDirectory() as folder:
            same = continued(name, f"{folder}/run", KILLS, seed=number) == expected
        print(f"{number:2} {name:15} {'same bits' if same else 'DIFFERS'}", flush=True)
        wrong += not same
    return wrong


if __name__ == "__main__":
    sys.exit(main() > 0)
