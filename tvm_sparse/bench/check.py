"""Compare the artifacts of one model with each other before they are timed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tvm_sparse.bench.output_error import output_errors
from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.errors import CheckError
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.compare import difference, first_difference
from tvm_sparse.runtime.metadata import load_metadata

#: What rounding to 8 bits does to a model is a few per cent; what is wrong differs by all of it.
_MOST_ROUNDING = 0.5


def check_builds(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    inputs: Mapping[str, np.ndarray[Any, Any]],
    threads: int,
    atol: float,
    rtol: float,
) -> dict[str, float]:
    """Run two artifacts, each in a process of its own, and compare their outputs.

    Parameters
    ----------
    reference, candidate : path
        Artifact directories of the same model and weights.
    inputs : mapping of str to numpy.ndarray
        Inputs of both.
    threads : int
        Threads to run on.
    atol, rtol : float
        Tolerances, see `difference`.

    Returns
    -------
    dict of str to float
        Largest absolute difference of each output.

    Raises
    ------
    CheckError
        If an output differs; the message names the first layer that does.
    ArtifactError, InputError, BuildError
        From loading and running.
    """
    wanted, found = _run(reference, candidate, inputs, threads)
    gaps = {name: difference(found[name], wanted[name], atol, rtol) for name in wanted}
    for name, gap in gaps.items():
        if gap.mismatched:
            layer = first_difference(load(reference), load(candidate), inputs, atol, rtol)
            build = load_metadata(os.fspath(candidate)).build
            where = f"first differing layer: {layer}" if layer else "every layer by itself agrees"
            raise CheckError(
                f"the {build} build differs from the dense one in {name}: {gap.mismatched:.1%} of "
                f"its values, at most by {gap.max_absolute:.3g} (atol {atol:g}, rtol {rtol:g}); "
                f"{where}"
            )
    return {name: gap.max_absolute for name, gap in gaps.items()}


def check_rounded(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    inputs: Mapping[str, np.ndarray[Any, Any]],
    threads: int,
) -> dict[str, float]:
    """Compare an artifact whose products are rounded with a float32 one; see `check_builds`.

    Rounding moves single values as it will, so that they tell nothing: outputs as a whole do.

    Returns
    -------
    dict of str to float
        Error of each output, relative in L2 norm.

    Raises
    ------
    CheckError
        One is off by more than rounding explains.
    ArtifactError, InputError, BuildError
        From loading and running.
    """
    wanted, found = _run(reference, candidate, inputs, threads)
    errors = {
        name: error.relative_l2 for name, error in output_errors(found, wanted, inputs).items()
    }
    for name, error in errors.items():
        if not error <= _MOST_ROUNDING:
            build = load_metadata(os.fspath(candidate)).build
            raise CheckError(
                f"the {build} build differs from the dense one in {name}: by {error:.0%} in L2 "
                f"norm, and rounding explains {_MOST_ROUNDING:.0%} at most; --int8-error keeps "
                "layers float32"
            )
    return errors


def _run(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str],
    inputs: Mapping[str, np.ndarray[Any, Any]],
    threads: int,
) -> list[dict[str, np.ndarray[Any, Any]]]:
    """Return the outputs of both, each from a process of its own."""
    results = []
    for directory in (reference, candidate):
        with WorkerProcess(directory, threads) as worker:
            worker.bind(inputs)
            results.append(worker.run())
    return results
