"""An archive that says nothing of its model: signature and reference from the program alone."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.extents import Limits
from tvm_sparse.importers.torch.program import Program, Ref
from tvm_sparse.importers.values import (
    narrow,
)
from tvm_sparse.ir.dims import Dim, axes_of
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.sources.pt2_archive import Pt2Facts

#: Values of inputs of integers that look nothing up: masks and segments.
_SMALL = 2


def foreign_facts(program: Program, tensors: Mapping[str, np.ndarray], limits: Limits) -> Pt2Facts:
    """Return what a program tells of its model: names, shapes, how many rows ids look up."""
    inputs = tuple(
        TensorSpec(
            name,
            limits.largest(program.shapes[name]),
            narrow(program.dtypes[name]),
            rows,
            axes_of(program.shapes[name]) if _is_open(program.shapes[name]) else (),
        )
        for name, rows in _rows(program, tensors).items()
    )
    return Pt2Facts("", "Model", {}, inputs, program.output_names)


def _is_open(shape: tuple[Dim, ...]) -> bool:
    return not all(isinstance(extent, int) for extent in shape)


def _rows(program: Program, tensors: Mapping[str, np.ndarray]) -> dict[str, int | None]:
    """Return the rows of the table that each input looks up, None where it is no such input."""
    rows: dict[str, int | None] = dict.fromkeys(program.inputs)
    for node in program.nodes:
        indices, table = node.arguments.get("indices"), node.arguments.get("weight")
        if node.op != "embedding.default" or not isinstance(table, Ref):
            continue
        name = program.parameters.get(table.name, "")
        if isinstance(indices, Ref) and indices.name in rows and name in tensors:
            rows[indices.name] = tensors[name].shape[0]
    return rows


class ReferenceRuns:
    """Runs of a module as it was imported, built by TVM's own pipeline.

    This is what a build is compared with where nobody said what PyTorch computes: none of our
    passes has a part in it.
    """

    def __init__(
        self,
        mod: tvm.IRModule,
        params: Mapping[str, np.ndarray],
        outputs: tuple[str, ...],
        seed: int,
    ) -> None:
        self._mod, self._params, self._outputs, self._seed = mod, params, outputs, seed

    def __call__(
        self, inputs: tuple[TensorSpec, ...]
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return seeded values of inputs, and what the module gives for them."""
        rng = np.random.default_rng(self._seed)
        values = {i.name: _random(i, rng) for i in inputs}
        results = self._main(*map(tvm.runtime.tensor, values.values()), *self._weights)
        return values, {n: r.numpy() for n, r in zip(self._outputs, results, strict=True)}

    @cached_property
    def _weights(self) -> list[Any]:
        weights = map(np.ascontiguousarray, self._params.values())
        return [tvm.runtime.tensor(weight) for weight in weights]

    @cached_property
    def _main(self) -> Any:
        target = tvm.target.Target("llvm")
        pipeline = relax.get_default_pipeline(target)
        built = relax.build(self._mod, target, relax_pipeline=pipeline)
        return relax.VirtualMachine(built, tvm.cpu())["main"]


def _random(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
    if spec.dtype == "float32":
        return rng.standard_normal(spec.shape, dtype=np.float32)
    values = rng.integers(0, spec.below or _SMALL, spec.shape)
    if spec.name == "attention_mask":  # the first token of a row is always one
        values.reshape(-1, spec.shape[-1])[:, 0] = 1
    return values.astype(spec.dtype)
