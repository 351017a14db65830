"""The sparse builds of a study: one in the cache at a time, and none when all is done."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.formats.builds import SPARSE
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.subject import Subject


class SparseBuilds:
    """Makes builds as points want them; a context manager that removes the last one.

    A build goes when a point wants another, unless it was in the cache before. Points of an open
    build differ in their shapes alone: give them one after the other.

    Parameters
    ----------
    subject : Subject
        The model.
    keep : bool
        Leave new builds in the cache.
    """

    def __init__(self, subject: Subject, keep: bool = False) -> None:
        self._subject, self._keep = subject, keep
        self._made: tuple[ModelSpec, SparsitySpec] | None = None
        self._directory, self._is_new = Path(), False

    def __enter__(self) -> SparseBuilds:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._drop()

    def build(self, point: Point) -> Path:
        """Return the artifact directory of a point's build.

        Raises
        ------
        TvmSparseError
            From importing and building.
        """
        subject, spec = self._subject, self._subject.fill.spec(point)
        wanted = subject.model_spec(point.setting), spec
        if self._made == wanted:
            return self._directory
        self._drop()
        before = {entry.key for entry in subject.cache.ls("lib")}
        self._directory = subject.build(subject.pruned(point), SPARSE)
        self._made, self._is_new = wanted, self._directory.parent.name not in before
        return self._directory

    def _drop(self) -> None:
        if self._made is not None and self._is_new and not self._keep:
            self._subject.cache.clear("lib", f"lib/{self._directory.parent.name}")
        self._made = None
