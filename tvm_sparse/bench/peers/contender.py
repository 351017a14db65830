"""What takes part in a comparison: one of our builds, or another engine on a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

import tvm_sparse
from tvm_sparse.bench.peers.engine import Engine
from tvm_sparse.bench.peers.process import PeerProcess
from tvm_sparse.bench.peers.record import EngineResult
from tvm_sparse.bench.worker_process import WorkerProcess

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Contender:
    """Something to measure: how to start it, and what it has to compute.

    Attributes
    ----------
    result : EngineResult
        What is known of it before it runs; `status` other than "measured" leaves it out.
    start : callable
        Takes a number of threads and returns its loaded worker.
    inputs, reference : mapping of str to numpy.ndarray
        Its inputs, and outputs on the same weights and inputs, from elsewhere.
    has_streams : bool
        Whether its throughput with several streams can be measured.
    """

    result: EngineResult
    start: Callable[[int], WorkerProcess]
    inputs: Arrays
    reference: Arrays
    has_streams: bool = True


def own_build(
    artifact: Path,
    inputs: Arrays,
    reference: Arrays,
    reference_name: str,
    sparsity: float | None = None,
    block_shape: tuple[int, int] | None = None,
    scheme: str = "",
) -> Contender:
    """Return the contender of one of this package's artifacts.

    `reference` are the outputs on the same weights from the engine `reference_name`; a sparse build
    has its block sparsity and block shape, one of 8 bits its scheme.
    """
    weights = "dense"
    if sparsity is not None and block_shape is not None:
        weights = f"{100 * sparsity:.3g}% {block_shape[0]}x{block_shape[1]}"
    if scheme:
        weights += f", {scheme.upper().replace('-FAST', ' fast')}"
    result = EngineResult(
        name="tvm_sparse",
        label=f"tvm_sparse, {weights}",
        precision="int8" if scheme else "fp32",
        threads=0,
        status="measured",
        sparsity=sparsity,
        block_shape=block_shape,
        version=tvm_sparse.__version__,
        reference=reference_name,
    )
    return Contender(result, lambda threads: WorkerProcess(artifact, threads), inputs, reference)


def peer(
    engine: Engine, checkpoint: Path, inputs: Arrays, reference: Arrays, reference_name: str
) -> Contender:
    """Return the contender of another engine on a checkpoint directory."""
    missing = engine.missing()
    result = EngineResult(
        name=engine.name,
        label=engine.label,
        threads=0,
        status="not installed" if missing else "measured",
        detail=f"pip install {' '.join(missing)}" if missing else "",
        precision=engine.precision,
        is_rival=engine.is_rival,
        version=engine.version,
        reference=reference_name,
    )
    return Contender(
        result,
        lambda threads: PeerProcess(engine.module, checkpoint, threads, engine.name),
        inputs,
        reference,
        engine.has_streams,
    )
