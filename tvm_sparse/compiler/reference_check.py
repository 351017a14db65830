"""Compare a dense build with its model's framework, and find where they part when they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.compiler.compile import Build, compile_model
from tvm_sparse.compiler.export import link_library
from tvm_sparse.compiler.layer_outputs import expose_layer_norms
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import CheckError
from tvm_sparse.model.model import Reference
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.runtime.compare import difference
from tvm_sparse.runtime.crew import choose_threads, on_threads
from tvm_sparse.runtime.tile_map import make_tile_map


def check_against_reference(
    build: Build, reference: Reference, threads: int | None, atol: float, rtol: float
) -> dict[str, float]:
    """Run a build in this process and return the largest difference of every output.

    The build is for this machine, with the reference's weights; threads are as `choose_threads`
    takes them.

    Raises
    ------
    CheckError
        If an output differs by more than `difference` allows.
    BuildError
        If the code cannot be linked.
    """
    gaps = dict.fromkeys(reference.outputs, 0.0)
    runs = [inputs for inputs, _ in reference.runs]
    for (inputs, outputs), results in zip(reference.runs, _run(build, runs, threads), strict=True):
        for (name, wanted), result in zip(outputs.items(), results, strict=True):
            gap = difference(result, wanted, atol, rtol)
            if gap.mismatched:
                where = "x".join(map(str, next(iter(inputs.values())).shape))
                raise CheckError(
                    f"the dense build differs from {reference.framework} in {name}: "
                    f"{gap.mismatched:.1%} of its values, at most by {gap.max_absolute:.3g} "
                    f"(atol {atol:g}, rtol {rtol:g}), for inputs of {where}"
                )
            gaps[name] = max(gaps[name], gap.max_absolute)
    return gaps


def first_differing_layer(
    mod: tvm.IRModule, reference: Reference, spec: CompileSpec, atol: float, rtol: float
) -> str | None:
    """Name the first layer of a dense build that differs from its framework's, by layer norms.

    The module, as imported, is compiled once more with its layer norms as outputs, so this is for
    when `check_against_reference` has failed.
    """
    exposed, names = expose_layer_norms(mod)
    build = compile_model(exposed, reference.params, spec)
    layers = _run(build, [reference.inputs], spec.threads)[0][-len(names) :] if names else []
    for name, value in zip(names, layers, strict=True):
        wanted = reference.layer_outputs.get(name)
        if wanted is None or wanted.shape != value.shape:
            continue
        if difference(value, wanted, atol, rtol).mismatched:
            return name
    return None


def _run(
    build: Build, runs: Sequence[Mapping[str, np.ndarray]], threads: int | None
) -> list[list[np.ndarray]]:
    """Return the outputs of several runs."""
    with temporary_directory() as folder:
        # Not the executable itself: a virtual machine leaves entries in it that TVM would export,
        # and warn about whenever the artifact is loaded.
        library = folder / "code.so"
        link_library(build.executable, [], library, build.target.isa)
        machine = relax.VirtualMachine(tvm.runtime.load_module(str(library)), tvm.cpu())
    weights = [tvm.runtime.tensor(value) for value in build.lowered.params.values()]

    def outputs(inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        values = list(inputs.values())
        if build.lowered.token_tile:
            batch, seq_len = values[0].shape
            values.append(make_tile_map((seq_len,) * batch, build.lowered.token_tile))
        arguments = [*map(tvm.runtime.tensor, values), *weights]
        results = on_threads(choose_threads(threads), lambda: machine["main"](*arguments))
        return [result.numpy() for result in results]

    return [outputs(inputs) for inputs in runs]
