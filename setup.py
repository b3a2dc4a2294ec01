"""Build the native engine where there is a C++ compiler; install without it where there is none.

Everything else about the package stands in pyproject.toml.
"""

from pathlib import Path

from setuptools import Extension, setup

try:
    from pybind11.setup_helpers import Pybind11Extension, build_ext
except ImportError:  # installed without build isolation and without pybind11
    extensions: list[Extension] = []
    commands = {}
else:
    native = Pybind11Extension(
        "mario_a3c._native",
        sorted(str(path) for path in Path("native").glob("*.cpp")),
        depends=sorted(str(path) for path in Path("native").glob("*.[hi]*")),
        cxx_std=17,
        extra_compile_args=["-O3"],
        optional=True,
    )
    extensions = [native]
    commands = {"build_ext": build_ext}

setup(ext_modules=extensions, cmdclass=commands)
