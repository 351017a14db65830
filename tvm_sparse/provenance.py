"""What cached imports, builds and measurements depend on: the code that made them, and packages.

Which code that is follows from the import statements, so that no list can forget a file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import tvm_sparse

#: Key in records, and distribution.
TVM = {"tvm": "apache-tvm", "ffi": "apache-tvm-ffi"}
NOT_INSTALLED = "not installed"
#: Where the code begins that makes what is kept.
ENTRIES = {
    # A worker imports the importer it is asked for.
    "import tensorflow": ("importers.worker", "importers.tensorflow.importer"),
    "import torch": (
        *("importers.worker", "importers.torch.importer", "importers.torch.export.worker"),
    ),
    "import onnx": (
        *("importers.worker", "importers.onnx.importer", "importers.onnx.prepare.worker"),
    ),
    "build": ("compiler.build_cache",),
    "machine": ("bench.machine",),
    "kernel": ("tuning.micro_benchmark",),
    "race": ("tuning.race",),
    "layer": ("bench.product_kernel",),
    "measurement": ("compiler.build_cache", "bench.worker"),
    "pruning": ("pruning.prune_model",),
    "fidelity": ("pruning.prune_model", "fidelity.views"),
}
#: Rooms that say, keep, write and start, and decide nothing in what is made. The package's own
#: `__init__` holds its version, which goes into every fingerprint.
BESIDES = ("cache", "errors", "processes", "progress", "records", "torch_free")

_IMPORT = re.compile(
    rb"^[ \t]*(?:from tvm_sparse([\w.]*) import (\([^)]*\)|.+)|import tvm_sparse\.([\w.]+))", re.M
)


@cache
def code_fingerprint(work: str) -> str:
    """Return a hash of the code that does a work, and of the versions of TVM and this package.

    Parameters
    ----------
    work : str
        A key of `ENTRIES`.
    """
    digest = hashlib.sha256(repr(versions_of(TVM)).encode())
    for module in code_of(ENTRIES[work]):
        digest.update(module.encode() + _source(module).read_bytes())
    return digest.hexdigest()[:20]


def code_of(entries: Iterable[str]) -> list[str]:
    """Return modules and all they import from this package, in order of their names."""
    found: set[str] = set()
    left = list(entries)
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left += [name for name in imports_of(module) if name.split(".")[0] not in BESIDES]
    return sorted(found)


@cache
def imports_of(module: str) -> tuple[str, ...]:
    """Return the modules of this package that a module imports, anywhere in it.

    Parameters
    ----------
    module : str
        Name within the package: `kernels.tiling`.
    """
    found: list[bytes] = []
    for base, names, plain in _IMPORT.findall(_source(module).read_bytes()):
        found += [base, plain, *(base + b"." + name for name in re.findall(rb"\w+", names))]
    candidates = dict.fromkeys(name.decode().removeprefix(".") for name in found)
    return tuple(name for name in candidates if name and _source(name).is_file())


def versions_of(distributions: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of installed packages, and that of this one.

    Parameters
    ----------
    distributions : mapping of str to str
        Names of distributions, by the key that their version gets.
    """
    found = {key: installed_version(name) for key, name in distributions.items()}
    return {**found, "tvm_sparse": tvm_sparse.__version__}


def installed_version(distribution: str) -> str:
    """Return the version of a distribution, `NOT_INSTALLED` where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return NOT_INSTALLED


def _source(module: str) -> Path:
    return Path(tvm_sparse.__path__[0], *module.split(".")).with_suffix(".py")
