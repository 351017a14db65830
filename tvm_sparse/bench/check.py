"""Compare the artifacts of one model with each other before they are timed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.errors import CheckError
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.compare import difference, first_difference


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
    results = []
    for directory in (reference, candidate):
        with WorkerProcess(directory, threads) as worker:
            worker.bind(inputs)
            results.append(worker.run())
    wanted, found = results
    gaps = {name: difference(found[name], wanted[name], atol, rtol) for name in wanted}
    for name, gap in gaps.items():
        if gap.mismatched:
            layer = first_difference(load(reference), load(candidate), inputs, atol, rtol)
            where = f"first differing layer: {layer}" if layer else "every layer by itself agrees"
            raise CheckError(
                f"the sparse build differs from the dense one in {name}: {gap.mismatched:.1%} of "
                f"its values, at most by {gap.max_absolute:.3g} (atol {atol:g}, rtol {rtol:g}); "
                f"{where}"
            )
    return {name: gap.max_absolute for name, gap in gaps.items()}
