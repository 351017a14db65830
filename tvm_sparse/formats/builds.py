"""The builds of a model that can be asked for, and the formats of their weights."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.weight_format import WeightFormat


@dataclass(frozen=True)
class BuildSpec:
    """A build: what its weights are stored in.

    Attributes
    ----------
    name : str
        What users call it.
    dense : type of WeightFormat
        Of the layers that run dense.
    sparse : type of WeightFormat, optional
        Of the layers that run sparse; None where none does.
    """

    name: str
    dense: type[WeightFormat]
    sparse: type[WeightFormat] | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether layers may run sparse."""
        return self.sparse is not None

    def format_of(self, is_sparse: bool) -> type[WeightFormat]:
        """Return the format of a layer that runs sparse, or dense."""
        return self.sparse if is_sparse and self.sparse is not None else self.dense

    def to_json(self) -> dict[str, str | None]:
        """Return what tells the build from others."""
        sparse = self.sparse.name if self.sparse is not None else None
        return {"name": self.name, "dense": self.dense.name, "sparse": sparse}


#: The build that others are compared with.
DENSE = BuildSpec("dense", DenseFormat)
SPARSE = BuildSpec("sparse", DenseFormat, SparseFormat)
#: By name, in the order in which they are built and shown.
BUILDS: dict[str, BuildSpec] = {build.name: build for build in (DENSE, SPARSE)}


def build_spec(name: str) -> BuildSpec:
    """Return the build of a name.

    Raises
    ------
    ConfigError
        There is none.
    """
    if name not in BUILDS:
        raise ConfigError(f"build {name!r} given: use one of {', '.join(BUILDS)}")
    return BUILDS[name]
