"""The Cython half of the build; pyproject.toml has the rest."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import rnncore

voices = Extension("voices", ["voices.pyx"], include_dirs=[rnncore.get_include()])
setup(py_modules=[], ext_modules=cythonize([voices], language_level=3))
