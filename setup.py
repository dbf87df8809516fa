"""The compiled half of the build: Cython modules, one of them linked with the C kernels."""

import os
import sys

from Cython.Build import cythonize
from setuptools import Extension, setup

MODULES = ["plan", "blas", "batch", "states", "recurrence", "gradient", "run", "backward",
           "sequence"]
KERNELS = ["baseline", "avx2", "avx512", "dispatch"]

# Every fused multiply-add is written out: the compiler must not add its own, or instruction
# sets would differ in bits.
FLAGS = ["-O3", "-std=c11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
LINK = []
if os.environ.get("RNNCORE_SANITIZE"):
    FLAGS += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g"]
    LINK += ["-fsanitize=address,undefined"]
if os.environ.get("RNNCORE_WARNINGS"):
    FLAGS += ["-Wall", "-Wextra"]
if sys.platform == "linux" and not os.environ.get("RNNCORE_SANITIZE"):
    LINK += ["-Wl,-s"]

kernels = [f"rnncore/kernels/{name}.c" for name in KERNELS]
extensions = [
    Extension(
        f"rnncore.engine.{module}",
        [f"rnncore/engine/{module}.pyx", *(kernels if module == "plan" else [])],
        depends=["rnncore/kernels/kernels.h"],
        extra_compile_args=FLAGS,
        extra_link_args=LINK,
    )
    for module in MODULES
]

setup(
    ext_modules=cythonize(
        extensions,
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "freethreading_compatible": True,
        },
        build_dir="build/cython",
    )
)
