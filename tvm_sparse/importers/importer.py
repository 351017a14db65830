"""What importers have in common: how each is found and run, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.dependencies import Requirement
from tvm_sparse.model.facts import TensorSpec, WeightGaps
from tvm_sparse.sources.source import ModelSource

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Importer:
    """One way from a model's source to Relax.

    Attributes
    ----------
    name : str
        As `ModelSpec.importer` takes it.
    framework : str
        Whose outputs its models are compared with, in words.
    module : str
        Module with `import_model(spec, source, progress) -> Imported`; imported in a child
        process alone.
    requirements : tuple of Requirement
        Packages it needs beside those that every model needs.
    environment : mapping of str to (str or None)
        Changes to the environment of that process.
    check : callable
        Raises a FrontendError for a source that it cannot import right, as far as its config says.
    knows : callable
        Whether it should import a source that is left to choose.
    """

    name: str
    framework: str
    module: str
    requirements: tuple[Requirement, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    check: Callable[[ModelSource], None] = lambda source: None
    knows: Callable[[ModelSource], bool] = lambda source: True

    def needs(self, source: ModelSource) -> tuple[Requirement, ...]:
        """Return the packages that it needs for a source: PyTorch's archives need none."""
        return self.requirements if source.archive is None or source.is_onnx else ()


@dataclass(frozen=True)
class Imported:
    """What an importer made of a model.

    Attributes
    ----------
    mod : tvm.IRModule
        One function `main(inputs..., weights...)` with the attributes `num_input`, `places` (see
        `ir.functions.with_places`) and `micro_batches`, or `nominal` of an open one, whose extents
        are in the variables of `ir.dims`; one dataflow block, GELU, layer norms and attention as
        single operators.
    params : mapping of str to ndarray
        The weights by parameter name.
    inputs, outputs : tuple of TensorSpec
        Signature for a whole batch, in positional order; with `axes` in an open model.
    input_values, output_values : mapping of str to ndarray
        Reference inputs with real padding, and what the source's framework gave on them.
    other_runs : tuple of (mapping of str to ndarray, mapping of str to ndarray)
        The same at other shapes, of an open model.
    layer_outputs : mapping of str to ndarray
        What its layer norms gave, by layer, in the order of the calls.
    micro_batch : int
        How many sequences `main` takes at once.
    config : mapping of str to Any
        What stands for keys that the model's `config.json` lacks; JSON-ready.
    gaps : WeightGaps
        Where the model and its checkpoint do not match.
    """

    mod: Any
    params: Arrays
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    input_values: Arrays
    output_values: Arrays
    layer_outputs: Arrays
    micro_batch: int
    other_runs: tuple[tuple[Arrays, Arrays], ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    gaps: WeightGaps = field(default_factory=WeightGaps)
