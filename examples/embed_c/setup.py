"""The C half of the build; pyproject.toml has the rest."""

from setuptools import Extension, setup

import rnncore

setup(py_modules=[],
      ext_modules=[Extension("wavfilter", ["wavfilter.c"], include_dirs=[rnncore.get_include()],
                             extra_compile_args=["-std=c11", "-Wall", "-Wextra"])])
