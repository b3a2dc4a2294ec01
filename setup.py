"""Build the native engine where there is a C++ compiler; install without it where there is none.

Everything else about the package stands in pyproject.toml.
"""

import runpy
from pathlib import Path

from setuptools import Extension, setup

try:
    from pybind11.setup_helpers import Pybind11Extension, build_ext
except ImportError:  # installed without build isolation and without pybind11
    extensions: list[Extension] = []
    commands = {}
else:
    source = runpy.run_path("mario_a3c/envs/native_source.py")
    native = Pybind11Extension(
        "mario_a3c._native",
        sorted(str(path) for path in Path("native").glob("*.cpp")),
        depends=sorted(str(path) for path in Path("native").glob("*.[hi]*")),
        define_macros=[("SOURCE_DIGEST", f'"{source["source_digest"]()}"')],
        cxx_std=17,
        extra_compile_args=["-O3"],
        optional=True,
    )
    extensions = [native]
    commands = {"build_ext": build_ext}

setup(ext_modules=extensions, cmdclass=commands)
