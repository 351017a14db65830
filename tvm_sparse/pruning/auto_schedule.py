"""Deal a budget of zeros out by measured sensitivity: what the model loses, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.fidelity.forward import compile_dense
from tvm_sparse.fidelity.sensitivity import Probe, measure_sensitivity
from tvm_sparse.fidelity.sensitivity_record import Sensitivity
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.pruning.calibration import Calibration
from tvm_sparse.pruning.moments import MomentCollector
from tvm_sparse.pruning.prune_params import block_counts
from tvm_sparse.sparsity.allocation import allocate
from tvm_sparse.sparsity.prune_layer import prune_layer
from tvm_sparse.sparsity.prune_spec import PruneSpec
from tvm_sparse.text.tokens import Tokens

#: Passages that the model is run on for each layer and sparsity.
_PASSAGES = 32
_SPARSITIES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.97)


def auto_zeros(
    model: Model,
    layers: Sequence[Layer],
    spec: PruneSpec,
    sparsity: float,
    calibration: Calibration | None,
    collector: MomentCollector,
    *,
    threads: int | None = None,
    progress: ShareProgress = silent,
) -> tuple[dict[str, int], Sensitivity]:
    """Prune one layer at a time, measure the model's loss, and spend the budget where it is least.

    Takes what `global_zeros` takes, and returns what it does, and what was measured on the
    calibration text.

    Raises
    ------
    ConfigError
        The model's task cannot be judged on texts.
    SparsityError
        The sparsity is beyond what was measured.
    PassError, BuildError
        From the compiler.
    """
    assert calibration is not None  # the caller loads it
    # The layers' inputs in the dense model: each is pruned alone here.
    names = [layer.name for layer in layers]
    moments = {}
    if spec.needs_activations:
        # Sums of squares for all: Hessians of all layers at once may not fit into memory, and to
        # tell the layers apart Wanda's choice is as good.
        moments = collector.collect(model.params, names, calibration, full=False, progress=progress)
    probe = spec if spec.method != "second-order" else spec.with_method("wanda")
    counts = block_counts(layers, spec.block_shape)

    def prune(layer: Layer, weight: np.ndarray, level: float) -> np.ndarray:
        zeros = round(counts[layer.name] * level)
        return prune_layer(weight, probe, zeros, moments.get(layer.name))

    code = compile_dense(model, CompileSpec(threads=threads))
    sensitivity = measure_sensitivity(
        model,
        code,
        layers,
        _first(calibration.tokens, _PASSAGES),
        Probe(spec.block_shape, probe.method, prune),
        # Beyond the last one a layer is never pruned.
        sparsities=_SPARSITIES if sparsity < _SPARSITIES[-1] else (*_SPARSITIES, 1.0),
        progress=progress,
    )
    by_weight = allocate([layer.curve for layer in sensitivity.layers], sparsity)
    return {layer.name: by_weight[layer.canonical_name] for layer in layers}, sensitivity


def _first(tokens: Tokens, count: int) -> Tokens:
    return Tokens({name: ids[:count] for name, ids in tokens.arrays.items()}, tokens.truncated)
