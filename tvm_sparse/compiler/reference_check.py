"""Compare a build with the outputs that TensorFlow gave for the same inputs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.compiler.compile import Build
from tvm_sparse.compiler.export import link_library
from tvm_sparse.errors import CheckError
from tvm_sparse.runtime.compare import difference


def check_against_reference(
    build: Build,
    inputs: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    atol: float,
    rtol: float,
) -> dict[str, float]:
    """Run a build in this process and compare every output with its reference.

    Parameters
    ----------
    build : Build
        Compiled for this machine.
    inputs, outputs : mapping of str to ndarray
        Reference inputs and outputs, in positional order.
    atol, rtol : float
        Tolerances, as `difference` takes them.

    Returns
    -------
    dict of str to float
        Largest absolute difference of each output.

    Raises
    ------
    CheckError
        If an output differs.
    BuildError
        If the code cannot be linked.
    """
    with tempfile.TemporaryDirectory(prefix="tvm_sparse-check-") as folder:
        # Not the executable itself: a virtual machine leaves entries in it that TVM would export,
        # and warn about whenever the artifact is loaded.
        library = Path(folder) / "code.so"
        link_library(build.executable, [], library, build.target.isa)
        machine = relax.VirtualMachine(tvm.runtime.load_module(str(library)), tvm.cpu())
    arguments = (*inputs.values(), *build.lowered.params.values())
    results = machine["main"](*map(tvm.runtime.tensor, arguments))
    gaps = {}
    for (name, wanted), result in zip(outputs.items(), results, strict=True):
        gap = difference(result.numpy(), wanted, atol, rtol)
        if gap.mismatched:
            raise CheckError(
                f"the dense build differs from TensorFlow in {name}: {gap.mismatched:.1%} of its "
                f"values, at most by {gap.max_absolute:.3g} (atol {atol:g}, rtol {rtol:g})"
            )
        gaps[name] = gap.max_absolute
    return gaps
