"""What each layer costs when it alone is pruned: fidelity lost against time won."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError
from tvm_sparse.fidelity.forward import Arrays, DenseCode
from tvm_sparse.fidelity.sensitivity_record import LayerSensitivity, Sensitivity
from tvm_sparse.fidelity.views import collect, compare
from tvm_sparse.model.layer import Layer
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.sparsity.pruning import prune_magnitude
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.tasks.task import View
from tvm_sparse.text.tokens import Tokens

#: Where losses are measured: closer together where they grow fast.
SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

#: A layer, its weight (N, K) and a block sparsity to the pruned weight (N, K).
PruneLayer = Callable[[Layer, NDArray[Any], float], NDArray[Any]]
#: A layer and a block sparsity to milliseconds saved; None where it cannot be told.
TimeSaved = Callable[[Layer, float], float | None]


def measure_sensitivity(
    code: DenseCode,
    params: Arrays,
    groups: Sequence[Sequence[Layer]],
    tokens: Tokens,
    task: str,
    block_shape: tuple[int, int],
    *,
    sparsities: Sequence[float] = SPARSITIES,
    method: str = "magnitude",
    prune: PruneLayer | None = None,
    time_saved: TimeSaved | None = None,
    progress: ShareProgress = silent,
) -> Sensitivity:
    """Prune one layer, or group of layers, at a time and measure what is lost.

    The model's code is compiled once; for every measurement only the changed layers are packed.

    Parameters
    ----------
    code : DenseCode
        As `compile_dense` returns it.
    params : mapping of str to ndarray
        The dense weights; not changed.
    groups : sequence of sequence of Layer
        Layers that are pruned together; as a rule one each. Blocks must divide them.
    tokens : Tokens
        Texts at the code's sequence length.
    task : str
        A key of `tasks.registry.TASKS`.
    block_shape : (int, int)
        (bs_r, bs_c).
    sparsities : sequence of float
        Block sparsities to measure at, ascending, over 0 and up to 1.
    method : str
        Name of `prune`, for the record.
    prune : callable, optional
        Prunes one weight; by default it removes the blocks of least norm.
    time_saved : callable, optional
        Predicts the time that a sparse layer saves.
    progress : callable
        Receives a line and the finished share, 0..1.

    Raises
    ------
    ConfigError
        The task cannot be judged on texts, or the sparsities are no ascending fractions.
    SparsityError
        The blocks do not divide a layer.
    """
    measure = on_texts(task).measure
    levels = tuple(float(s) for s in sparsities)
    if not levels or levels[0] <= 0 or levels[-1] > 1 or list(levels) != sorted(set(levels)):
        raise ConfigError(
            f"sparsities {', '.join(f'{s:g}' for s in levels)} given: fractions are needed that "
            "ascend, over 0 and up to 1"
        )
    prune = prune or (lambda layer, weight, s: prune_magnitude(weight, block_shape, s))
    dense = code.pack(params)

    def view(model: Any) -> View:
        return collect(model, tokens, code.input_names, code.batch, task)

    reference = view(dense)
    measured = []
    for done, group in enumerate(groups):
        progress(f"pruning one of {len(groups)} layers at a time", done / len(groups))
        results = []
        for level in levels:
            changed = {layer.name: prune(layer, layer.load(params), level) for layer in group}
            pruned = dense.with_layers(changed, params)
            results.append(compare(task, reference, view(pruned)))
        rows, columns = block_shape
        measured.append(
            LayerSensitivity(
                weights=tuple(layer.canonical_name for layer in group),
                blocks=sum(n // rows * (k // columns) for n, k in (g.shape for g in group)),
                flops=sum(layer.flops for layer in group),
                sparsities=levels,
                losses=tuple(max(result["loss"], 0.0) for result in results),
                measures=tuple(result.get(measure, -result["loss"]) for result in results),
                saved_ms=tuple(_saved(group, level, time_saved) for level in levels),
            )
        )
    return Sensitivity(
        task=task,
        measure=measure,
        block_shape=block_shape,
        method=method,
        texts=len(tokens),
        seq_len=code.seq_len,
        layers=tuple(measured),
    )


def _saved(group: Sequence[Layer], sparsity: float, time_saved: TimeSaved | None) -> float | None:
    times = [time_saved(layer, sparsity) if time_saved else None for layer in group]
    known = [time for time in times if time is not None]
    return float(np.sum(known)) if len(known) == len(times) else None
