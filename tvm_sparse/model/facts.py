"""What is known about a model besides its graph and weights.

The importer writes these facts to the cache; whoever loads the model reads them there, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tvm_sparse.config import ModelSpec
from tvm_sparse.errors import CacheError
from tvm_sparse.records.read import check_record


@dataclass(frozen=True)
class TensorSpec:
    """Name, static shape and numpy dtype name of one input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"


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
    """

    kind: Literal["checkpoint", "random"]
    fingerprint: str = ""
    source: str = ""
    detail: str = "of unknown origin"

    @property
    def trained(self) -> bool:
        """Whether they come from a checkpoint, so that what the model says has a meaning."""
        return self.kind == "checkpoint"


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
