"""What each layer costs when it alone is pruned: fidelity lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError
from tvm_sparse.fidelity.forward import Arrays, DenseCode, Forward
from tvm_sparse.fidelity.sensitivity_record import LayerSensitivity, Sensitivity
from tvm_sparse.fidelity.views import collect, compare
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.sparsity.bsr import block_grid
from tvm_sparse.sparsity.pruning import prune_magnitude
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.tasks.task import View
from tvm_sparse.text.tokens import Tokens

#: Where losses are measured: closer together where they grow fast.
SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)

#: A layer, its weight (N, K) and a block sparsity to the pruned weight (N, K).
PruneLayer = Callable[[Layer, NDArray[Any], float], NDArray[Any]]


@dataclass(frozen=True)
class Probe:
    """How a layer is pruned to see what that does to the model.

    The blocks (bs_r, bs_c) must divide the layers; `method` is a name for the record. Without
    `prune` the blocks of least norm go.
    """

    block_shape: tuple[int, int]
    method: str = "magnitude"
    prune: PruneLayer | None = None

    def pruned(self, layer: Layer, params: Arrays, sparsity: float) -> NDArray[Any]:
        """Return the weight (N, K) of a layer, pruned."""
        weight = layer.load(params)
        if self.prune is not None:
            return self.prune(layer, weight, sparsity)
        return prune_magnitude(weight, self.block_shape, sparsity)


def measure_sensitivity(
    model: Model,
    code: DenseCode,
    layers: Sequence[Layer],
    tokens: Tokens,
    probe: Probe,
    *,
    sparsities: Sequence[float] = SPARSITIES,
    progress: ShareProgress = silent,
) -> Sensitivity:
    """Prune one layer at a time and measure what is lost.

    The model's code is compiled once; for every measurement only the changed layer is packed.

    Parameters
    ----------
    model, code
        With the dense weights, not changed; as `compile_dense` returns it for the model.
    layers, probe
        What is pruned, and how.
    tokens : Tokens
        Texts at the code's sequence length.
    sparsities : sequence of float
        Block sparsities to measure at, ascending, over 0 and up to 1.
    progress : callable
        Receives a line and the finished share, 0..1.

    Raises
    ------
    ConfigError
        The task cannot be judged on texts, or the sparsities are no ascending fractions.
    SparsityError
        The blocks do not divide a layer.
    """
    task, params = model.facts.task, model.params
    measure = on_texts(task).measure
    levels = tuple(float(s) for s in sparsities)
    if not levels or levels[0] <= 0 or levels[-1] > 1 or list(levels) != sorted(set(levels)):
        raise ConfigError(
            f"sparsities {', '.join(f'{s:g}' for s in levels)} given: fractions are needed that "
            "ascend, over 0 and up to 1"
        )
    dense = code.pack(params)

    def view(forward: Forward) -> View:
        return collect(forward, tokens, code.input_names, code.batch, task)

    reference = view(dense)
    measured = []
    for done, layer in enumerate(layers):
        progress(f"pruning one of {len(layers)} layers at a time", done / len(layers))
        results = []
        for level in levels:
            pruned = dense.with_layers({layer.name: probe.pruned(layer, params, level)}, params)
            results.append(compare(task, reference, view(pruned)))
        rows, columns = block_grid(layer.shape, probe.block_shape)
        measured.append(
            LayerSensitivity(
                weight=layer.canonical_name,
                blocks=rows * columns,
                flops=layer.flops,
                sparsities=levels,
                losses=tuple(max(result["loss"], 0.0) for result in results),
                measures=tuple(result.get(measure, -result["loss"]) for result in results),
            )
        )
    return Sensitivity(
        task=task,
        measure=measure,
        block_shape=probe.block_shape,
        method=probe.method,
        texts=len(tokens),
        seq_len=code.seq_len,
        layers=tuple(measured),
    )
