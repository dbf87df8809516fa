"""The house rules, as far as a program can read them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import reference
from cases import CELLS

import rnncore as rc
from rnncore.engine.plan import cell_names

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "rnncore"
PYTHON = sorted(HOUSE.rglob("*.py"))
CYTHON = sorted(HOUSE.rglob("*.pyx")) + sorted(HOUSE.rglob("*.pxd"))
KERNELS = sorted((HOUSE / "kernels").rglob("*.[ch]"))
HEADERS = sorted((HOUSE / "include").glob("*.h"))
STUBS = sorted(HOUSE.rglob("*.pyi"))
SOURCES = [*PYTHON, *CYTHON, *KERNELS, *HEADERS, *STUBS, ROOT / "setup.py",
           ROOT / "pyproject.toml"]

MAX_FILE, MAX_FUNCTION = 300, 40  # lines, the latter without a docstring


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


# ---- Words and files ----


@pytest.mark.parametrize("path", KERNELS, ids=name)
def test_kernels_allocate_nothing_and_know_no_python(path):
    found = re.findall(r"\b(?:[mc]alloc|realloc|free|alloca|\w*printf|Py\w*)\b(?=\s*[(.*])",
                       path.read_text(encoding="utf-8"))
    assert not found


def test_there_are_no_forbidden_words():
    forbidden = r"pickle|openmp|\bprange\b|-march=native|-ffast-math|\bTODO\b|\bFIXME\b|\bXXX\b"
    found = [f"{name(path)}: {word}" for path in SOURCES
             for word in re.findall(forbidden, path.read_text(encoding="utf-8"), re.IGNORECASE)]
    assert not found


def test_there_is_no_room_for_odds_and_ends():
    found = [name(path) for path in SOURCES if re.search(r"util|helper|common|misc", path.stem)]
    assert not found


def test_nothing_generated_is_committed():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True,
                           check=True).stdout.splitlines()
    made = r"\.(so|o|a|pyc|pyd|html|whl|gz|safetensors)$|^(build|dist)/|egg-info|__pycache__"
    generated = [file for file in files if re.search(made, file)]
    by_hand = re.compile(r"rnncore/(kernels|include)/|tests/|examples/|bench/")
    generated += [file for file in files if file.endswith((".c", ".h", ".cpp"))
                  and not by_hand.match(file)]
    assert not generated


# ---- Sizes ----


@pytest.mark.parametrize("path", PYTHON + CYTHON + KERNELS + HEADERS, ids=name)
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE


def python_functions(path: Path) -> Iterator[tuple[str, int]]:
    """The names of the functions, and their lines without the docstring."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            first = node.body[0]
            text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            docstring = (first.end_lineno or 0) - first.lineno + 1 if text else 0
            yield node.name, node.end_lineno - node.lineno + 1 - docstring


def cython_functions(path: Path) -> Iterator[tuple[str, int]]:
    """The same by indentation: a function ends where a line begins no further right."""
    text = re.sub(r'"""(?:.|\n)*?"""', '""', path.read_text(encoding="utf-8"))
    lines = text.splitlines()
    for start, line in enumerate(lines):
        if found := re.match(r"( *)(?:def|cdef|cpdef)\b.*?(\w+)\(", line):
            end = last = start
            while ":" not in lines[end].rpartition(")")[2] and end + 1 < len(lines):
                end += 1
            for index in range(end + 1, len(lines)):
                if lines[index].strip():
                    if not lines[index].startswith(found[1] + " "):
                        break
                    last = index
            yield found[2], max(last, end) - start + 1


def c_functions(path: Path) -> Iterator[tuple[str, int]]:
    """The same by braces in the first column."""
    start = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            yield f"line {start}", number - start + 2  # the signature is one line or two
            start = None


@pytest.mark.parametrize("path", PYTHON + CYTHON + KERNELS + HEADERS, ids=name)
def test_functions_are_short(path):
    functions = {".py": python_functions, ".pyx": cython_functions, ".pxd": cython_functions,
                 ".c": c_functions, ".h": c_functions}[path.suffix]
    found = [f"{function} has {lines} lines" for function, lines in functions(path)
             if lines > MAX_FUNCTION]
    assert not found


def test_the_measures_see_functions():
    """A pattern that matches nothing would find every function short."""
    assert dict(python_functions(HOUSE / "training" / "fitting.py"))["fit"] > 10
    assert dict(cython_functions(HOUSE / "engine" / "sequence.pyx"))["forward"] > 20
    assert max(lines for _, lines in c_functions(HOUSE / "kernels" / "dispatch.c")) > 5


# ---- Rooms ----


def imported(path: Path) -> set[str]:
    """The modules of the library that a Python file names in an import, wherever it stands."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {module for module in found if module.startswith("rnncore")}


@pytest.mark.parametrize(
    ("room", "below"),
    [
        ("engine", ("engine",)),
        ("parameters", ("engine", "interrupts")),
        ("layers", ("engine", "parameters", "layers")),
        ("remedies", ("engine",)),
        ("network", ("engine", "parameters", "layers", "losses", "remedies")),
        ("optim", ("engine", "interrupts", "parameters", "network", "optim")),
        ("analysis", ("analysis", "batch", "blocks", "engine", "layers", "losses", "model",
                      "network", "optim", "parameters", "remedies", "tasks", "training")),
    ],
)
def test_arrows_run_one_way(room, below):
    inside = (room, f"{room}.py")
    files = [path for path in PYTHON if path.relative_to(HOUSE).parts[0] in inside]
    assert files
    allowed = tuple(f"rnncore.{name}" for name in below)
    # What is imported for its type alone is an arrow on paper only.
    found = set().union(*(imported(path) - typing_only(path) for path in files))
    assert not {module for module in found if not module.startswith(allowed)}


def typing_only(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            for inner in ast.walk(node):
                if isinstance(inner, ast.ImportFrom) and inner.module:
                    names = (f"{inner.module}.{alias.name}" for alias in inner.names)
                    found |= {inner.module, *names}
    return found


# ---- Cells ----


def test_every_cell_of_the_kernels_has_a_layer_and_an_oracle():
    assert set(cell_names()) == set(CELLS)
    for cell in CELLS.values():
        layer = getattr(rc, cell.kind)(3, 3, **cell.options)
        assert layer.forward(layer.parameters.values[:3].reshape(1, 1, 3))[0].shape == (1, 1, 3)
        assert cell.kind in reference.CELLS or cell.kind == "Linear"


# ---- Stubs and docstrings ----


def compiled_names(module: object) -> dict[str, object]:
    """What a compiled module defines for the public: functions, classes, constants."""
    own = getattr(module, "__name__", "")
    return {key: value for key, value in vars(module).items() if not key.startswith("_")
            and (key.isupper() or getattr(value, "__module__", "") == own)}


@pytest.mark.parametrize("path", STUBS, ids=name)
def test_stubs_agree_with_the_compiled_modules(path):
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    runtime, stub = compiled_names(module), {}
    for node in tree(path).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            stub[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            stub[node.target.id] = node
    assert set(stub) == set(runtime)
    for key, node in stub.items():
        if isinstance(node, ast.FunctionDef):
            arguments = [argument.arg for argument in node.args.args]
            assert arguments == list(inspect.signature(runtime[key]).parameters)
        elif isinstance(node, ast.ClassDef):
            listed = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            assert listed - {"__init__"} == {k for k in vars(runtime[key]) if k[0] != "_"}


def test_what_python_imports_from_the_engine_has_a_stub():
    compiled = {f"rnncore.engine.{path.stem}" for path in CYTHON if path.suffix == ".pyx"}
    used = set().union(*map(imported, PYTHON)) & compiled
    assert used <= {f"rnncore.engine.{path.stem}" for path in STUBS}


@pytest.mark.parametrize("public", [n for n in rc.__all__ if inspect.isclass(getattr(rc, n))])
def test_public_classes_show_an_example(public):
    text = inspect.getdoc(vars(rc)[public]) or ""
    assert "Examples\n--------\n>>> " in text
