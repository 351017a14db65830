"""The tree of errors.

    TvmSparseError                  exit code 1
    ├── ConfigError                 2  a flag or spec value that cannot be used
    ├── DependencyError             2  a missing package, or versions that do not work together
    ├── FrontendError               2  a model that cannot be imported
    │   ├── ModelNotFoundError      2  no preset, directory or reachable hub id of that name
    │   ├── CheckpointError         2  files that are missing, truncated or inconsistent
    │   └── UnsupportedOpError      2  operators that are not imported, all of them at once
    ├── CacheError                  2  a cache that cannot be read, written or locked
    ├── SparsityError               2  a sparsity or block shape the weights do not allow
    ├── PassError                   1  a compiler pass met a graph it must not guess about
    ├── BuildError                  1  code generation, linking or a worker process failed
    ├── CheckError                  1  two builds, or a build and its reference, disagree
    ├── ArtifactError               2  a damaged, foreign or incompatible exported artifact
    └── InputError                  2  wrong name, shape or dtype given to a loaded model

A message says what was given, what is required and what to do. The command line prints it
as one line without a traceback and exits with the class's `exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable


class TvmSparseError(Exception):
    """Base of all errors this package raises on purpose."""

    exit_code = 1


class ConfigError(TvmSparseError):
    """A flag or spec value that cannot be used."""

    exit_code = 2


class DependencyError(TvmSparseError):
    """A missing package, or installed versions that do not work together."""

    exit_code = 2


class FrontendError(TvmSparseError):
    """A model that cannot be imported."""

    exit_code = 2


class ModelNotFoundError(FrontendError):
    """No preset, local directory or reachable hub id of that name."""


class CheckpointError(FrontendError):
    """Checkpoint files that are missing, truncated or inconsistent."""


#: What lists the operators of a framework that are imported.
_PAGES = {
    "TensorFlow": "docs/supported-ops.md",
    "ATen": "docs/supported-aten-ops.md",
    "ONNX": "docs/supported-onnx-ops.md",
}


class UnsupportedOpError(FrontendError):
    """Operators that no converter covers.

    Parameters
    ----------
    unsupported : iterable of (str, str)
        Pairs of operator and node name; every pair is listed in the message.
    framework : str
        Whose they are.
    """

    def __init__(
        self, unsupported: Iterable[tuple[str, str]], framework: str = "TensorFlow"
    ) -> None:
        self.unsupported = sorted(set(unsupported))
        self.framework = framework
        nodes: dict[str, list[str]] = {}
        for op, node in self.unsupported:
            nodes.setdefault(op, []).append(node)
        listing = "; ".join(f"{op} ({', '.join(names)})" for op, names in nodes.items())
        super().__init__(
            f"the graph uses {len(nodes)} {framework} op(s) without a converter: {listing}. "
            f"{_PAGES[framework]} lists what is covered"
        )


class CacheError(TvmSparseError):
    """A cache that cannot be read, written or locked."""

    exit_code = 2


class SparsityError(TvmSparseError):
    """A sparsity or block shape that the weights do not allow."""

    exit_code = 2


class PassError(TvmSparseError):
    """A compiler pass met a graph it must not guess about."""


class BuildError(TvmSparseError):
    """Code generation, linking or a worker process failed."""


class CheckError(TvmSparseError):
    """Two builds, or a build and its reference, disagree."""


class ArtifactError(TvmSparseError):
    """A damaged, foreign or incompatible exported artifact."""

    exit_code = 2


class InputError(TvmSparseError):
    """A wrong name, shape or dtype given to a loaded model."""

    exit_code = 2


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the one of the known words that is like the given one, as a question in brackets.

    Empty when none is.
    """
    import difflib

    close = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def check_word(what: str, given: str, known: Iterable[str]) -> None:
    """Refuse a word that is none of those known.

    Raises
    ------
    ConfigError
        With the words that are known, and the one that was probably meant.
    """
    known = list(known)
    if given not in known:
        raise ConfigError(
            f"{what} {given!r} given{did_you_mean(given, known)}: use one of {', '.join(known)}"
        )
