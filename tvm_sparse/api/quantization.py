"""The library API of 8 bits: look at a model before builds round it.

>>> import tvm_sparse
>>> model = tvm_sparse.load_model("path/to/checkpoint")
>>> model = tvm_sparse.quantize(model, calibration="built-in", max_error=0.05)
>>> builds = tvm_sparse.compile(model, builds=("dense", "int8"))
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tvm_sparse.config.micro_batches import nominal_length
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.model.model import Model
from tvm_sparse.progress import ShareProgress, silent, steps


def quantize(
    model: Model,
    spec: QuantizationSpec | None = None,
    *,
    target: str = "native",
    threads: int | None = None,
    progress: ShareProgress = silent,
    **fields: Any,
) -> Model:
    """Return the model with what its builds of 8 bits need to know of its layers.

    Parameters
    ----------
    model : Model
        With the weights as they are to run: after `sparsify`, if they become sparse. Not changed.
    spec : QuantizationSpec, optional
        A whole spec.
    target : str
        As `CompileSpec` has it: how a CPU adds up decides how far weights are rounded.
    threads : int, optional
        Threads to run calibration text on; every core by default.
    progress : callable
        Receives a line of text and the finished share, 0..1.
    **fields
        Fields of `QuantizationSpec`: scheme, calibration, samples, smoothing, max_error, rescale.

    Raises
    ------
    ConfigError, InputError
        A value out of range, a target without such kernels, text that cannot be used.
    PassError, BuildError
        From the compiler.
    """
    from tvm_sparse.formats.quantized import grade_of
    from tvm_sparse.pruning.quantize_model import quantize_model
    from tvm_sparse.target import resolve_target

    spec = spec or QuantizationSpec(**fields)
    grade = grade_of(resolve_target(target), fast=spec.scheme.endswith("fast"))
    looked_at = model
    if model.spec.is_open and (spec.calibration is not None or spec.max_error is not None):
        looked_at = _at_one_shape(model, progress)
    return replace(model, quantization=quantize_model(looked_at, spec, grade, threads, progress))


def _at_one_shape(model: Model, progress: ShareProgress) -> Model:
    """Return an open model as it is for one short text, with the same weights."""
    from tvm_sparse.importers.load_model import load_model

    shape = {"batch": 1, "seq_len": nominal_length(model.spec.seq_len)}
    spec = model.spec.with_(is_open=False, micro_batch=None, **shape)
    found = load_model(spec, model.cache, steps(progress))
    return replace(found, params={**found.params, **_known(model, found)})


def _known(model: Model, found: Model) -> dict[str, Any]:
    return {name: value for name, value in model.params.items() if name in found.params}
