"""The Cython half of the build; pyproject.toml has the rest."""

from Cython.Build import cythonize
from setuptools import Extension, setup

import rnncore

search = Extension("beamsearch", ["beamsearch.pyx"], include_dirs=[rnncore.get_include()])
setup(py_modules=[], ext_modules=cythonize([search], language_level=3))
