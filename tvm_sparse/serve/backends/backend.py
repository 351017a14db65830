"""What runs the models that are served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.metadata import ArtifactMetadata
from tvm_sparse.text.batches import Runnable


class Build(Runnable, Protocol):
    """What is needed of a model that is loaded to be served: several threads may run it."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Names, largest shapes and dtypes of its outputs."""

    def computed_tokens(self, lengths: Sequence[int]) -> int:
        """Return on how many tokens it computes for sequences of some lengths."""

    @property
    def threads(self) -> int:
        """Threads of a run, at most."""

    def own_threads(self) -> None:
        """Have the calling thread run it without handing runs to another one, where that helps."""

    def on(self, threads: int) -> Runnable:
        """Return the same model on fewer threads, as far as that can be had."""


@dataclass(frozen=True)
class Backend:
    """A way to run the models in directories that have `metadata.json`.

    Attributes
    ----------
    check : callable
        Raises a DependencyError unless what it needs for a model is installed.
    load : callable
        Returns the model in a directory, on so many threads.
    """

    check: Callable[[ArtifactMetadata], None]
    load: Callable[[Path, int], Build]
