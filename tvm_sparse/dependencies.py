"""Check at start-up that the installed packages work together.

The pins of pyproject.toml hold when pip installs everything at once; a later `pip install -U`
breaks them silently, and what follows is a crash inside TVM or a TypeError inside transformers.
Only the metadata of the packages is read, so the check costs milliseconds and imports none of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tvm_sparse.errors import DependencyError

Version = tuple[int, ...]


@dataclass(frozen=True)
class Requirement:
    """One package that has to be there, in a range of versions.

    Parameters
    ----------
    names : tuple of str
        The distribution, and others that provide the same import package; the first is installed.
    at_least, below : tuple of int
        The range [at_least, below) of versions that work.
    install : str
        What to give to pip.
    reason : str
        Why a version outside the range does not work, or what the package is for.
    extra : str
        The extra of this package that brings it; empty for what always comes with it.
    """

    names: tuple[str, ...]
    at_least: Version
    below: Version
    install: str
    reason: str
    extra: str = ""


#: What a standalone build needs: it carries the rest.
FFI = (
    Requirement(
        ("apache-tvm-ffi",),
        (0, 1, 14),
        (0, 1, 15),
        "apache-tvm-ffi==0.1.14.post1",
        "from 0.1.15 on saving a module as JSON crashes the process",
    ),
)
RUNTIME = (
    Requirement(
        ("apache-tvm",),
        (0, 27),
        (0, 28),
        "apache-tvm==0.27.0.post1",
        "the compiler's Python names change between minor versions",
    ),
    *FFI,
)
#: The extra that brings what models are imported and pruned with.
IMPORTING = "tensorflow"
_NO_LIMIT = (10**6,)
#: What an import depends on.
FRONTEND = (
    Requirement(
        ("tensorflow", "tensorflow-cpu", "intel-tensorflow"),
        (2, 21),
        (2, 22),
        "tensorflow==2.21.*",
        "models are imported through its GraphDef",
        IMPORTING,
    ),
    Requirement(
        ("tf-keras",),
        (2, 21),
        (2, 22),
        "tf-keras==2.21.*",
        "it has to match TensorFlow 2.21",
        IMPORTING,
    ),
    Requirement(
        ("transformers",),
        (4, 53),
        (4, 55),
        "transformers>=4.53,<4.55",
        "4.55 stopped loading safetensors into TensorFlow, 5.0 removed TensorFlow",
        IMPORTING,
    ),
    Requirement(
        ("huggingface-hub",),
        (0, 30),
        (1,),
        "huggingface-hub>=0.30,<1",
        "transformers 4.54 works with no other",
        IMPORTING,
    ),
)
#: What an import from PyTorch depends on; an archive needs none of it.
TORCH = (
    Requirement(
        ("torch",),
        (2, 13),
        (2, 14),
        "torch==2.13.*",
        "programs are read in the form that it writes",
        "torch",
    ),
    Requirement(
        ("transformers",),
        (4, 53),
        _NO_LIMIT,
        "transformers>=4.53",
        "it has the classes of models",
        "torch",
    ),
)
#: What an import of an ONNX file depends on.
ONNX_FILES = (
    Requirement(
        ("onnx",),
        (1, 17),
        _NO_LIMIT,
        "onnx>=1.17",
        "graphs are read with it",
        "onnx",
    ),
    Requirement(
        ("onnxruntime",),
        (1, 20),
        _NO_LIMIT,
        "onnxruntime>=1.20",
        "builds are compared with what it computes",
        "onnx",
    ),
)
#: What reads, keeps and prunes weights, whichever importer is used.
WEIGHTS = (
    Requirement(
        ("huggingface-hub",),
        (0, 30),
        _NO_LIMIT,
        "huggingface-hub>=0.30",
        "models are found and fetched with it",
        IMPORTING,
    ),
    Requirement(
        ("safetensors",),
        (0, 4, 3),
        _NO_LIMIT,
        "safetensors>=0.4.3",
        "weights are kept in it",
        IMPORTING,
    ),
    Requirement(
        ("scipy",), (1, 12), _NO_LIMIT, "scipy>=1.12", "pruning computes with it", IMPORTING
    ),
    Requirement(
        ("threadpoolctl",),
        (3, 1),
        _NO_LIMIT,
        "threadpoolctl>=3.1",
        "pruning computes on one thread where that is faster",
        IMPORTING,
    ),
)
#: What `tvm-sparse serve` listens with.
SERVING = (
    Requirement(("uvicorn",), (0, 30), _NO_LIMIT, "uvicorn>=0.30", "it speaks HTTP", "serve"),
    Requirement(("uvloop",), (0, 19), _NO_LIMIT, "uvloop>=0.19", "it is the event loop", "serve"),
    Requirement(("httptools",), (0, 6), _NO_LIMIT, "httptools>=0.6", "it parses HTTP", "serve"),
    Requirement(("orjson",), (3, 10), _NO_LIMIT, "orjson>=3.10", "it parses JSON", "serve"),
    Requirement(("grpcio",), (1, 66), (2,), "grpcio>=1.66,<2", "it speaks gRPC", "serve"),
    Requirement(
        ("protobuf",),
        (6, 30),
        (8,),
        "protobuf>=6.30,<8",
        "gRPC's messages are made with it, TensorFlow 2.21 works with no other",
        "serve",
    ),
)
#: What `tvm-sparse serve` runs ONNX graphs with, to measure them.
ONNX = (
    Requirement(
        ("onnxruntime",), (1, 20), _NO_LIMIT, "onnxruntime>=1.20", "it runs ONNX graphs", "peers"
    ),
)
#: What `tvm-sparse batch` spreads work with.
BATCH = (
    Requirement(
        ("ray",), (2, 60), (3,), "ray[client,data]>=2.60,<3", "it spreads the work", "batch"
    ),
    Requirement(
        ("pyarrow",), (9,), _NO_LIMIT, "ray[client,data]>=2.60,<3", "it reads files", "batch"
    ),
)
#: What extras are for, where one is missing.
_PURPOSES = {
    IMPORTING: "importing and pruning models needs the extra '{}', running exported ones does not",
    "torch": "importing models from PyTorch needs the extra '{}'",
    "onnx": "importing ONNX files needs the extra '{}'",
    "serve": "serving needs the extra '{}'",
    "peers": "serving ONNX graphs needs the extra '{}'",
    "batch": "answering files of texts needs the extra '{}'",
}


def check_dependencies(
    requirements: Iterable[Requirement] = RUNTIME + FRONTEND + WEIGHTS,
    installed_version: Callable[[str], str] = version,
) -> None:
    """Refuse a combination of packages that is known not to work.

    Parameters
    ----------
    requirements : iterable of Requirement
        `RUNTIME` is enough for an exported model; importing one needs the others too.
    installed_version : callable
        Version of a distribution; raises `PackageNotFoundError` when it is not installed.

    Raises
    ------
    DependencyError
        With every package that is missing or outside its range, and the pip command that mends
        all of them, in one line.
    """
    faults: dict[str, str] = {}  # by what to give to pip
    missing: dict[str, list[str]] = {}  # by extra
    requirements = tuple(requirements)
    for requirement in requirements:
        name, found = _installed(requirement, installed_version)
        if found is None and requirement.extra:
            missing.setdefault(requirement.extra, []).append(name)
        elif found is None:
            faults[requirement.install] = f"{name} is not installed ({requirement.reason})"
        elif not requirement.at_least <= _release(found) < requirement.below:
            faults[requirement.install] = (
                f"{name} {found} found, {requirement.install} needed ({requirement.reason})"
            )
    # An extra brings all its packages in versions that fit.
    for requirement in requirements:
        if requirement.extra in missing:
            faults.pop(requirement.install, None)
    intro = "installed packages do not work together: " if faults else ""
    for extra, names in missing.items():
        faults[f"tvm_sparse[{extra}]"] = (
            f"{', '.join(names)} not installed ({_PURPOSES[extra].format(extra)})"
        )
    if faults:
        installs = " ".join(f"'{install}'" for install in faults)
        raise DependencyError(
            f"{intro}{'; '.join(faults.values())}. Run: python -m pip install {installs}"
        )


def fit_together(requirements: Iterable[Requirement]) -> bool:
    """Whether packages are installed in versions that work together."""
    try:
        check_dependencies(requirements)
    except DependencyError:
        return False
    return True


def _installed(
    requirement: Requirement, installed_version: Callable[[str], str]
) -> tuple[str, str | None]:
    """Return the name of the distribution and the version installed, None where none is."""
    for name in requirement.names:
        with suppress(PackageNotFoundError):
            return name, installed_version(name)
    return requirement.names[0], None


def _release(text: str) -> Version:
    """Return the release numbers of a version: 0.1.14.post1 gives (0, 1, 14)."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
