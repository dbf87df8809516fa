"""The compiled half of the build; pyproject.toml has the rest.

Every Cython module is an extension of its own, and one of them, `plan`, is linked with the C
kernels. The environment can ask for

    RNNCORE_SANITIZE=1        the address and undefined-behaviour sanitizers
    RNNCORE_SANITIZE=thread   the thread sanitizer
    RNNCORE_DEBUG=1           bounds checks in the Cython modules

All need a tree of their own, or `build_ext --force`: flags are no reason to compile anew.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

SANITIZE = {"1": "address,undefined", "thread": "thread"}.get(
    os.environ.get("RNNCORE_SANITIZE", ""))
DEBUG = bool(os.environ.get("RNNCORE_DEBUG"))

# A fused multiply-add is always written out: the compiler must not make any of its own, or
# instruction sets would differ in bits. No flag names the processor of the build.
FLAGS = ["-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off",
         "-fvisibility=hidden", "-pthread"]
LINK = ["-pthread"]
if SANITIZE:
    FLAGS += [f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined",
              "-fno-omit-frame-pointer", "-g"]
    LINK += [f"-fsanitize={SANITIZE}"]
else:
    FLAGS += ["-g0"]
    LINK += ["-Wl,-s"] if sys.platform == "linux" else []  # no symbols: half the wheel


def extension(pyx: Path) -> Extension:
    """The module of one .pyx file."""
    kernels = sorted(map(str, Path("rnncore/kernels").rglob("*.[ch]")))
    linked = [path for path in kernels if path.endswith(".c")] if pyx.stem == "plan" else []
    return Extension(
        ".".join(pyx.with_suffix("").parts),
        [str(pyx), *linked],
        depends=kernels if linked else ["rnncore/kernels/kernels.h",
                                        "rnncore/include/rnncore.h"],
        # Only the kernels calculate: in a loop that calls them -O3 gains nothing but bytes. A
        # product is some 3 % slower where its loop happens to cross a cache line more.
        include_dirs=[numpy.get_include(), "rnncore/include"],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=[*FLAGS, *(["-O3", "-falign-loops=64"] if linked else ["-O2"])],
        extra_link_args=LINK,
    )


setup(
    ext_modules=cythonize(
        # The kernels take longest, so they begin.
        sorted(map(extension, sorted(Path("rnncore").rglob("*.pyx"))),
               key=lambda module: -len(module.sources)),
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": DEBUG,
            "cdivision": True,
            "freethreading_compatible": True,
        },
    ),
    options={"build_ext": {"parallel": True}},
)
