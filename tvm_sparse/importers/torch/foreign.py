"""An archive that says nothing of its model: signature and reference from the program alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.config import ModelSpec
from tvm_sparse.importers.torch.program import Program, Ref
from tvm_sparse.importers.values import (
    narrow,
)
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.sources.pt2_archive import Pt2Facts

#: Values of inputs of integers that look nothing up: masks and segments.
_SMALL = 2


def foreign_facts(program: Program, tensors: Mapping[str, np.ndarray]) -> Pt2Facts:
    """Return what a program tells of its model: names, shapes, how many rows ids look up."""
    inputs = tuple(
        TensorSpec(name, program.shapes[name], narrow(program.dtypes[name]), rows)
        for name, rows in _rows(program, tensors).items()
    )
    return Pt2Facts("", "Model", {}, inputs, program.output_names)


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


def reference_run(
    mod: tvm.IRModule,
    params: Mapping[str, np.ndarray],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[str, ...],
    spec: ModelSpec,
) -> dict[str, np.ndarray]:
    """Return seeded inputs and what a module gives for them, built by TVM's own pipeline.

    This is what a build is compared with where nobody said what PyTorch computes: none of our
    passes has a part in it.
    """
    rng = np.random.default_rng(spec.seed)
    values = {i.name: _random(i, rng) for i in inputs}
    target = tvm.target.Target("llvm")
    built = relax.build(mod, target, relax_pipeline=relax.get_default_pipeline(target))
    arguments = [*values.values(), *(np.ascontiguousarray(value) for value in params.values())]
    machine = relax.VirtualMachine(built, tvm.cpu())
    results = machine["main"](*map(tvm.runtime.tensor, arguments))
    return {
        **{f"inputs/{name}": value for name, value in values.items()},
        **{f"outputs/{n}": r.numpy() for n, r in zip(outputs, results, strict=True)},
    }


def _random(spec: TensorSpec, rng: np.random.Generator) -> np.ndarray:
    if spec.dtype == "float32":
        return rng.standard_normal(spec.shape, dtype=np.float32)
    values = rng.integers(0, spec.below or _SMALL, spec.shape)
    if spec.name == "attention_mask":  # the first token of a row is always one
        values.reshape(-1, spec.shape[-1])[:, 0] = 1
    return values.astype(spec.dtype)
