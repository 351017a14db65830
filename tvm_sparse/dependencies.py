"""Check at start-up that the installed packages work together.

The pins of pyproject.toml hold when pip installs everything at once; a later `pip install -U`
breaks them silently, and what follows is a crash inside TVM or a TypeError inside transformers.
Only the metadata of the packages is read, so the check costs milliseconds and imports none of them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
        Why a version outside the range does not work.
    """

    names: tuple[str, ...]
    at_least: Version
    below: Version
    install: str
    reason: str


RUNTIME = (
    Requirement(
        ("apache-tvm",),
        (0, 27),
        (0, 28),
        "apache-tvm==0.27.0.post1",
        "the compiler's Python names change between minor versions",
    ),
    Requirement(
        ("apache-tvm-ffi",),
        (0, 1, 14),
        (0, 1, 15),
        "apache-tvm-ffi==0.1.14.post1",
        "from 0.1.15 on saving a module as JSON crashes the process",
    ),
)
FRONTEND = (
    Requirement(
        ("tensorflow", "tensorflow-cpu", "intel-tensorflow"),
        (2, 21),
        (2, 22),
        "tensorflow==2.21.*",
        "models are imported through its GraphDef",
    ),
    Requirement(
        ("tf-keras",),
        (2, 21),
        (2, 22),
        "tf-keras==2.21.*",
        "it has to match TensorFlow 2.21",
    ),
    Requirement(
        ("transformers",),
        (4, 53),
        (4, 55),
        "transformers>=4.53,<4.55",
        "4.55 stopped loading safetensors into TensorFlow, 5.0 removed TensorFlow",
    ),
)


def check_dependencies(
    requirements: Iterable[Requirement] = RUNTIME + FRONTEND,
    installed_version: Callable[[str], str] = version,
) -> None:
    """Refuse a combination of packages that is known not to work.

    Parameters
    ----------
    requirements : iterable of Requirement
        `RUNTIME` is enough for an exported model, importing a model needs `FRONTEND` too.
    installed_version : callable
        Version of a distribution; raises `PackageNotFoundError` when it is not installed.

    Raises
    ------
    DependencyError
        With every package that is missing or outside its range, and the pip command that mends
        all of them, in one line.
    """
    faults = []
    installs = []
    for requirement in requirements:
        fault = _fault(requirement, installed_version)
        if fault is not None:
            faults.append(fault)
            installs.append(f"'{requirement.install}'")
    if faults:
        raise DependencyError(
            f"installed packages do not work together: {'; '.join(faults)}. "
            f"Run: python -m pip install {' '.join(installs)}"
        )


@contextmanager
def without_torch() -> Iterator[None]:
    """Keep PyTorch from being imported in this block, unless the program has done so already.

    tvm_ffi imports PyTorch when it is installed, for nothing that is used here. The Triton of a
    CUDA build carries an LLVM of its own, and two of them in one process abort it
    ("inconsistency in registered CommandLine options"), so the first import of TVM in a process
    of ours belongs into this block. Afterwards PyTorch can be imported again, and libraries that
    look into `sys.modules` (scipy) find what they expect.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # what makes `import` refuse
    try:
        yield
    finally:
        del sys.modules["torch"]


def _fault(requirement: Requirement, installed_version: Callable[[str], str]) -> str | None:
    for name in requirement.names:
        try:
            found = installed_version(name)
        except PackageNotFoundError:
            continue
        if requirement.at_least <= _release(found) < requirement.below:
            return None
        return f"{name} {found} found, {requirement.install} needed ({requirement.reason})"
    return f"{requirement.names[0]} is not installed ({requirement.reason})"


def _release(text: str) -> Version:
    """Return the release numbers of a version: 0.1.14.post1 gives (0, 1, 14)."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
