"""What is known about a model besides its graph and weights.

The importer writes these facts to the cache; whoever loads the model reads them there, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CacheError
from tvm_sparse.records.read import check_record
from tvm_sparse.words import counted

# `$` alone would allow a line break behind them.
_Name = Annotated[str, Meta(pattern=r"^(?!.*\n)[\w.:/-]{1,200}$")]
_Extent = Annotated[int, Meta(ge=0, le=1 << 40)]
_DType = Annotated[str, Meta(pattern=r"^(?!.*\n)(bool|u?int(8|16|32|64)|float(16|32|64))$")]
Axis = Literal["batch", "seq_len", ""]
#: Of a list of names, as many are printed.
_NAMED = 3


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes
    ----------
    name : str
        As the model calls it.
    shape : tuple of int
        Where the run decides, the largest.
    dtype : str
        numpy's name.
    below : int or None
        Values are 0 to `below` - 1, the rows of the table they look up; None if anything goes.
    axes : tuple of str
        In an open model what decides about each axis: `batch`, `seq_len`, or nothing, "".
    """

    name: _Name
    shape: Annotated[tuple[_Extent, ...], Meta(max_length=8)]
    dtype: _DType
    below: Annotated[int, Meta(ge=1, le=1 << 31)] | None = None
    axes: Annotated[tuple[Axis, ...], Meta(max_length=8)] = ()

    @property
    def is_open(self) -> bool:
        """Whether each run decides about its shape."""
        return any(self.axes)

    def at(self, batch: int, seq_len: int) -> TensorSpec:
        """Return the tensor in a run of so many sequences of so many tokens."""
        return replace(self, shape=self.shape_at(batch, seq_len), axes=())

    def shape_at(self, batch: int, seq_len: int) -> tuple[int, ...]:
        """Return its shape in such a run."""
        sizes = {"batch": batch, "seq_len": seq_len}
        named = zip(self.shape, self.axes, strict=True) if self.axes else ()
        return tuple(sizes.get(axis, extent) for extent, axis in named) or self.shape

    @property
    def size_bytes(self) -> int:
        """Size of such a tensor, of the largest if it is open."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        extents = list(map(str, self.shape))
        if self.is_open:
            named = zip(self.axes, extents, strict=True)
            extents = [f"{axis} <= {extent}" if axis else extent for axis, extent in named]
        return f"{self.name} {self.dtype}[{', '.join(extents)}]"


@dataclass(frozen=True)
class WeightGaps:
    """Where a model and its checkpoint do not match.

    Attributes
    ----------
    missing : tuple of str
        Weights that the checkpoint lacks, by the names that it would have for them.
    left_out : tuple of str
        Outputs that would need them, and that the imported model therefore does not have.
    unused : tuple of str
        Weights of the checkpoint that the model has no place for.
    """

    missing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = []
        if self.missing:
            parts.append(f"{', '.join(self.left_out)} left out, for want of {_few(self.missing)}")
        if self.unused:
            parts.append(f"not used: {_few(self.unused)}")
        return "; ".join(parts)


@dataclass(frozen=True)
class WeightsFacts:
    """Where weights come from.

    Attributes
    ----------
    kind : {"checkpoint", "random"}
        `checkpoint`: trained ones, from files; `random`: seeded ones.
    fingerprint : str
        Hash of them: of the files' contents, or of what seeded weights follow from.
    source : str
        Directory of the files, or `seeded`.
    detail : str
        One line that says which weights these are and why.
    gaps : WeightGaps
        Where the model and its checkpoint do not match.
    """

    kind: Literal["checkpoint", "random"]
    fingerprint: str = ""
    source: str = ""
    detail: str = "of unknown origin"
    gaps: WeightGaps = field(default_factory=WeightGaps)

    def __str__(self) -> str:
        return "; ".join(filter(None, (self.detail, str(self.gaps))))

    @property
    def trained(self) -> bool:
        """Whether they come from a checkpoint, so that what the model says has a meaning."""
        return self.kind == "checkpoint"


def input_words(config: Mapping[str, Any], batch: int, seq_len: int | None) -> str:
    """Say what a model takes at a time: `batch 1, 128 tokens`, or `1 image, 224x224`."""
    size, text = config.get("image_size"), config.get("vocab_size")
    if size is None or text is not None:
        return f"batch {batch}" + (f", {seq_len} tokens" if seq_len else "")
    sides = size if isinstance(size, list | tuple) else (size, size)
    return f"{counted(batch, 'image')}, {'x'.join(map(str, sides))}"


@dataclass(frozen=True)
class ModelDescription:
    """Which model, whatever its weights.

    Attributes
    ----------
    name : str
        As the user named it.
    architecture : str
        Class of transformers, without the leading TF, e.g. `BertForQuestionAnswering`.
    task : str
        A key of `tasks.registry.TASKS`.
    config : dict
        Its `config.json`, with the number of layers asked for.
    """

    name: str
    architecture: str
    task: str
    config: dict[str, Any]


@dataclass(frozen=True)
class ModelFacts(ModelDescription):
    """What is known about an imported model.

    Attributes
    ----------
    inputs, outputs : tuple of TensorSpec
        Its signature, in positional order.
    spec : ModelSpec
        What was asked for.
    versions : dict of str to str
        Packages that imported it.
    key : str
        Of its cache entry: equal for equal weights, shapes, versions and importers.
    """

    weights: WeightsFacts
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    spec: ModelSpec
    versions: dict[str, str]
    key: str

    @property
    def description(self) -> ModelDescription:
        """Which model, without the rest."""
        return ModelDescription(self.name, self.architecture, self.task, self.config)

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> ModelFacts:
        """Return the facts in the manifest of an import's cache entry.

        Raises
        ------
        CacheError
            Another version of this package wrote the entry.
        """
        return check_record(
            {name: manifest[name] for name in cls.__dataclass_fields__ if name in manifest},
            cls,
            f"cache entry ir/{manifest.get('key')}",
            CacheError,
            "another version of tvm_sparse wrote it: import the model again",
        )


def _few(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
