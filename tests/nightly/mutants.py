"""Flips one term at a time in every formula of the backward pass: some test has to see it.

    python tests/nightly/mutants.py [--jobs 2] [--only WORD ...] [--list]

Prints each mutant, its file and line, and whether the tests killed it; exits with 1 if any
survives. Works in copies of the tree, unoptimized and with the baseline kernels alone, where a
change of a cell costs one second of compiling. What is mutated, and what is not because nobody
could tell the difference, is in the files named *_mutations.py.
"""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
from cell_mutations import Mutant, cell_mutants
from engine_mutations import engine_mutants
from flow_mutations import flow_mutants
from gradient_mutations import gradient_mutants
from record_mutations import record_mutants
from thread_mutations import thread_mutants

SOURCES = [
    cell_mutants,
    engine_mutants,
    gradient_mutants,
    thread_mutants,
    flow_mutants,
    record_mutants,
]
ROOT = Path(__file__).resolve().parents[2]
FIRST = ["test_gradients.py", "test_omega.py", "test_omega_reference.py", "test_record.py"]
# What passed the first.
THEN = ["test_equivalences.py", "test_dropout.py", "test_memory.py", "test_threads.py"]
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
COMPILE = [
    *(sysconfig.get_config_var("CC") or "cc").split(),
    *("-O0", "-w", "-fPIC", "-std=c11", "-pthread", "-ffp-contract=off"),
    *(f"-I{folder}" for folder in (sysconfig.get_paths()["include"], numpy.get_include(),
                                   "rnncore/include")),
]
CYTHON = [sys.executable, "-m", "cython", "-3", "-I", ".", "-X"]
DIRECTIVES = "boundscheck=False,wraparound=False,initializedcheck=False,cdivision=True"
NO_TESTS = 5  # pytest's exit code where nothing is selected
TIMEOUT = 600  # seconds; an endless loop is a death too


class Tree:
    """A copy of the sources, built on its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine, self.kernels = folder / "rnncore/engine", folder / "rnncore/kernels"

    def make(self) -> None:
        built = shutil.ignore_patterns("*.so", "*.c", "*.pyd", "__pycache__", "nightly")
        shutil.copytree(ROOT / "rnncore", self.folder / "rnncore", ignore=built)
        shutil.copytree(ROOT / "rnncore/kernels", self.kernels, dirs_exist_ok=True)
        shutil.copytree(ROOT / "tests", self.folder / "tests",
                        ignore=shutil.ignore_patterns("__pycache__", "nightly"))
        shutil.copy(ROOT / "pyproject.toml", self.folder)
        dispatch = self.kernels / "dispatch.c"  # to know of no kernels but the baseline's
        text = dispatch.read_text(encoding="utf-8").replace("defined(__x86_64__)", "0")
        dispatch.write_text(text, encoding="utf-8")
        for source in ("baseline", "dispatch", "pool"):
            self.compile(self.kernels / f"{source}.c")
        for source in sorted(self.engine.glob("*.pyx")):
            self.module(source)
        for built in (*self.engine.glob(f"*{SUFFIX}"), self.kernels / "baseline.o"):
            shutil.copy(built, built.with_suffix(".good"))

    def restore(self) -> None:
        """What was built of the sources as they are."""
        for good in (*self.engine.glob("*.good"), *self.kernels.glob("*.good")):
            suffix = ".o" if good.parent == self.kernels else ".so"
            shutil.copy(good, good.with_suffix(suffix))

    def run(self, *command: object) -> None:
        subprocess.run(
            list(map(str, command)), cwd=self.folder, check=True, capture_output=True
        )

    def compile(self, source: Path) -> None:
        self.run(*COMPILE, "-c", source, "-o", source.with_suffix(".o"))

    def module(self, source: Path) -> None:
        """Translate, compile and link a Cython module."""
        self.run(*CYTHON, DIRECTIVES, source.relative_to(self.folder))
        self.compile(source.with_suffix(".c"))
        self.link(source.stem)

    def link(self, stem: str) -> None:
        kernels = sorted(self.kernels.glob("*.o")) if stem == "plan" else []
        target = self.engine / f"{stem}{SUFFIX}"
        self.run(*COMPILE, "-shared", self.engine / f"{stem}.o", *kernels, "-o", target)

    def rebuild(self, path: str) -> None:
        """What depends on a changed file."""
        source = self.folder / path
        if source.suffix == ".h":
            self.compile(self.kernels / "baseline.c")
            self.link("plan")
        elif source.suffix == ".pyx":
            self.module(source)
        else:
            importing = f"rnncore.engine.{source.stem} cimport"
            for module in sorted(self.engine.glob("*.pyx")):
                if importing in module.read_text(encoding="utf-8"):
                    self.module(module)

    def passes(self, selection: str, files: list[str]) -> bool:
        """Whether the selected tests pass."""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-k", selection, *(f"tests/{name}" for name in files)]
        single = {**os.environ, "RNNCORE_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=single,
                timeout=TIMEOUT,
                capture_output=True,
                text=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode > 1 and (files is FIRST or done.returncode != NO_TESTS):
            raise RuntimeError(f"pytest -k {selection!r} did not run:\n{done.stdout}")
        return done.returncode in (0, NO_TESTS)  # 1: a test failed; below 0: a signal

    def survives(self, selection: str) -> bool:
        return self.passes(selection, FIRST) and self.passes(selection, THEN)

    def try_out(self, mutant: Mutant) -> bool:
        file = self.folder / mutant.path
        kept = file.read_text(encoding="utf-8")
        changed = kept[: mutant.start] + mutant.text + kept[mutant.end :]
        file.write_text(changed, encoding="utf-8")
        try:
            self.rebuild(mutant.path)
            return self.survives(mutant.tests)
        finally:
            file.write_text(kept, encoding="utf-8")
            self.restore()


def describe(mutant: Mutant) -> str:
    text = (ROOT / mutant.path).read_text(encoding="utf-8")
    line = text.count("\n", 0, mutant.start) + 1
    old = " ".join(text[mutant.start : mutant.end].split())
    new = " ".join(mutant.text.split())
    return f"{mutant.path}:{line}  {mutant.what}: {old!r} -> {new!r}"


def run(mutants: list[Mutant], jobs: int) -> list[Mutant]:
    """Try all of them out; return those that survive, or that do not compile."""
    survivors: list[Mutant] = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(jobs) as pool:
        first, trees = Tree(Path(scratch, "0")), queue.Queue()
        first.make()
        if not first.survives(" or ".join(sorted({mutant.tests for mutant in mutants}))):
            raise SystemExit("the tests fail without any mutation")
        trees.put(first)
        for number in range(1, jobs):
            trees.put(Tree(shutil.copytree(first.folder, Path(scratch, str(number)))))

        def task(mutant: Mutant) -> None:
            tree, begun = trees.get(), time.perf_counter()
            try:
                verdict = "SURVIVED" if tree.try_out(mutant) else "killed"
            except (RuntimeError, subprocess.CalledProcessError) as error:
                verdict = f"BROKEN\n{error}\n"
            finally:  # or whoever waits for a tree waits for ever
                trees.put(tree)
            seconds = time.perf_counter() - begun
            print(f"{verdict:8} {seconds:5.1f} s  {describe(mutant)}", flush=True)
            if verdict != "killed":
                survivors.append(mutant)

        list(pool.map(task, mutants))
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--jobs", type=int, default=1, help="how many mutants at a time")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        metavar="WORD",
        help="mutants whose description has one of these words",
    )
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    arguments = parser.parse_args()
    every = [mutant for mutants_of in SOURCES for mutant in mutants_of(ROOT)]
    mutants = [
        mutant for mutant in every if any(word in describe(mutant) for word in arguments.only)
    ]
    if arguments.list:
        print("\n".join(map(describe, mutants)))
        return 0
    begun = time.perf_counter()
    survivors = run(mutants, arguments.jobs)
    minutes = (time.perf_counter() - begun) / 60
    print(
        f"{len(mutants)} mutants, {len(mutants) - len(survivors)} killed, "
        f"{len(survivors)} survived; {minutes:.0f} minutes"
    )
    for mutant in survivors:
        print(f"survived: {describe(mutant)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
