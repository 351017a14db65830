#!/usr/bin/env python3
"""Compare open imports with TensorFlow at many shapes, compiled by TVM's own default pipeline.

scripts/check_shapes.py [--layers N] [PRESET[:ARCHITECTURE] ...]

Prints a line for each model: whether the same operators are raised as in a static import, and for
each shape the largest difference from TensorFlow over the largest value. Exits with 1 if an output
differs by more than 1e-4 of that, or would not show it if the mask were ignored.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import TvmSparseError
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import resolve_source
from tvm_sparse.torch_free import without_torch

SHAPES = ((1, 1), (1, 7), (3, 17), (5, 128), (2, 512))
LIMIT = ModelSpec("bert-tiny", weights="random", batch=32, seq_len=512, is_open=True)
TOLERANCE = 1e-4
RAISED = ("matmul", "nn.attention", "nn.attention_bias", "nn.gelu", "nn.gelu_tanh", "nn.layer_norm")


@dataclass(frozen=True)
class Found:
    """What was found of a model."""

    same_ops: bool
    differences: dict[tuple[int, int], float]
    faults: tuple[str, ...]


def main() -> int:
    """Check the models given, or all presets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=list(load_presets()))
    parser.add_argument("--layers", type=int, default=1)
    given = parser.parse_args()
    print("model".ljust(44), "same ops", *(f"{b}x{s}".rjust(9) for b, s in SHAPES))
    failed = False
    for name in given.models:
        try:
            with without_torch():
                found = check(name, given.layers)
        except TvmSparseError as error:
            print(name.ljust(44), error, flush=True)
            failed = True
            continue
        figures = (f"{found.differences.get(shape, np.nan):9.1e}" for shape in SHAPES)
        print(name.ljust(44), str(found.same_ops).ljust(8), *figures, *found.faults, flush=True)
        failed |= bool(found.faults) or not found.same_ops
    return int(failed)


def check(name: str, layers: int) -> Found:
    """Import a model in both ways and run the open one at every shape."""
    from tvm_sparse.importers.full_config import full_config
    from tvm_sparse.importers.reference_inputs import reference_inputs
    from tvm_sparse.importers.reference_shapes import OPEN_AXES
    from tvm_sparse.importers.tensorflow.from_graphdef import from_graphdef
    from tvm_sparse.importers.tensorflow.graphdef import freeze, input_signature, run_reference
    from tvm_sparse.importers.tensorflow.huggingface import load_with_gaps

    preset, _, architecture = name.partition(":")
    spec = replace(LIMIT, model=preset, num_layers=layers)
    source = resolve_source(spec)
    if architecture:
        source = replace(source, architecture=architecture)
    model = load_with_gaps(source, 0).model
    config = full_config(model)
    static = input_signature(model, config, 2, 16)
    given = input_signature(model, config, spec.batch, spec.seq_len)
    inputs = tuple(replace(i, axes=OPEN_AXES) for i in given)
    mod, params = from_graphdef(freeze(model, inputs))
    same = operators(mod) == operators(from_graphdef(freeze(model, static))[0])
    run = compiled(mod, params)
    differences, faults = {}, []
    for shape in SHAPES:
        values = reference_inputs([i.at(*shape) for i in inputs], config, seed=sum(shape))
        wanted = run_reference(model, values)
        gaps = relative_gaps(wanted, run(values))
        faults += [f"{output} {shape}" for output, gap in gaps.items() if not gap <= TOLERANCE]
        differences[shape] = max(gaps.values())
    values["attention_mask"] = np.ones_like(values["attention_mask"])
    unmasked = relative_gaps(wanted, run(values))
    blind = (output for output, gap in unmasked.items() if gap < 10 * TOLERANCE)
    faults += [f"{output} proves nothing" for output in blind]
    return Found(same, differences, tuple(faults))


def relative_gaps(wanted: dict[str, Any], found: list[np.ndarray]) -> dict[str, float]:
    """Return the largest difference of every output over its largest value."""
    return {
        name: float(np.abs(got - value).max() / np.abs(value).max())
        for (name, value), got in zip(wanted.items(), found, strict=True)
    }


def operators(mod: Any) -> Counter[str]:
    """Count a module's raised operators and products."""
    from tvm_sparse.ir.expressions import op_name
    from tvm_sparse.ir.functions import bindings, main_function

    names = (op_name(b.value).removeprefix("relax.") for b in bindings(main_function(mod)))
    return Counter(name for name in names if name in RAISED)


def compiled(mod: Any, params: dict[str, np.ndarray]) -> Any:
    """Return a function from inputs to outputs."""
    import tvm
    from tvm import relax

    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v3"})
    executable = relax.build(mod, target, relax_pipeline=relax.get_default_pipeline(target))
    machine = relax.VirtualMachine(executable, tvm.cpu())
    weights = [tvm.runtime.tensor(value) for value in params.values()]

    def run(values: dict[str, np.ndarray]) -> list[np.ndarray]:
        given = [tvm.runtime.tensor(value) for value in values.values()]
        return [output.numpy() for output in machine["main"](*given, *weights)]

    return run


if __name__ == "__main__":
    sys.exit(main())
