"""Look at a model before it is rounded to 8 bits: smooth its inputs, and keep what suffers most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.config.quantization import BUILT_IN, QuantizationSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.quantized import WIDE, WORD, Grade
from tvm_sparse.model.layer import Layer
from tvm_sparse.model.model import Arrays, Model
from tvm_sparse.model.quantization import Quantization
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.pruning.calibration import Calibration, load_calibration
from tvm_sparse.pruning.layer_inputs import LayerInputs
from tvm_sparse.quantization.layers import refusal
from tvm_sparse.quantization.smoothing import smoothing_factors
from tvm_sparse.quantization.tokens import rounded_tokens
from tvm_sparse.quantization.weights import (
    comes_rounded,
    rounded_weight,
    rows_rounded_anew,
)


def quantize_model(
    model: Model,
    spec: QuantizationSpec,
    grade: Grade,
    threads: int | None = None,
    progress: ShareProgress = silent,
) -> Quantization:
    """Find factors of inputs, errors of layers, and the layers that stay float32.

    Parameters
    ----------
    model : Model
        Of one shape, with the weights as they are to run.
    spec : QuantizationSpec
        Without a calibration nothing is smoothed, without a budget as well nothing looked at.
    grade : Grade
        How the kernels of the build add up, which decides how far weights are rounded.
    threads : int, optional
        Threads to run the model on; every core by default.
    progress : callable
        Receives a text and the finished share, 0..1.

    Raises
    ------
    ConfigError, InputError
        There is no tokenizer for the text, or it cannot be used.
    PassError, BuildError
        From the compiler.
    """
    layers = {layer.name: layer for layer in model.layers if not refusal(layer)}
    known = Quantization(spec)
    if model.facts.weights.trained:
        known = _as_stored(layers.values(), model, spec, grade)
    if spec.calibration is None and spec.max_error is None:
        return known
    progress("compiling what tells the inputs of layers", 0.0)
    inputs = LayerInputs(model, list(layers), threads)
    looked_at: Arrays = model.reference.inputs
    factors: dict[str, NDArray[Any]] = {}
    if spec.calibration is not None:
        calibration = _calibration(model, spec)
        for names, peaks in inputs.peaks(calibration, progress).items():
            weights = [layers[name].load(model.params) for name in names]
            shared = smoothing_factors(peaks, weights, spec.smoothing)
            factors.update(dict.fromkeys((layers[name].canonical_name for name in names), shared))
        looked_at, _ = next(calibration.batches(inputs.names, inputs.batch))
    progress("measuring what rounding costs each layer", 1.0)
    errors = {}
    for found in inputs.of(looked_at):
        for name in found.weights:
            layer = layers[name]
            weight = layer.load(model.params)
            factor = factors.get(layer.canonical_name)
            errors[layer.canonical_name] = _error(found.rows, weight, factor, grade)
    kept = dict(known.kept)
    if spec.max_error is not None:
        for name, error in errors.items():
            if error > spec.max_error:
                kept[name] = f"its error of {error:.2%} is over {spec.max_error:.2%}"
    return replace(known, factors=factors, errors=errors, kept=kept)


def _as_stored(
    layers: Iterable[Layer], model: Model, spec: QuantizationSpec, grade: Grade
) -> Quantization:
    """Find the layers that come quantised, as they do in some checkpoints and ONNX files.

    A grade may have no room for their integers.

    Raises
    ------
    ConfigError
        They would be smoothed, which rounds them anew.
    """
    kept: dict[str, str] = {}
    notes: dict[str, str] = {}
    wide: dict[str, str] = {}
    blocks = model.sparsity.block_shape if model.sparsity is not None else None
    # Blocks that are no whole words, or shorter than a sum, have others beside them than before.
    regroups = blocks is not None and (blocks[1] % WORD > 0 or grade.span > 1)
    for layer in layers:
        weight = layer.load(model.params)
        if not comes_rounded(weight):
            continue
        if spec.calibration is not None:
            raise ConfigError(
                f"--calibration given and {model.facts.name} comes quantised: its weights were "
                "smoothed, or not, when they were rounded; leave it out"
            )
        fine = rows_rounded_anew(weight, grade, in_any_order=regroups)
        name, share = layer.canonical_name, f"{fine} of {len(weight)} rows"
        if not fine:
            notes[name] = "its integers are as stored"
        elif spec.rescale:
            notes[name] = f"{share} are rounded anew"
        elif nine := rows_rounded_anew(weight, WIDE):
            kept[name] = (
                f"{nine} of {len(weight)} rows need nine bits around zero (--rescale rounds them "
                "anew)"
            )
        else:
            wide[name] = (
                f"its integers are as stored, in 16 bits: {share} have no room in sums of as many "
                "(--rescale rounds them anew)"
            )
    return Quantization(spec, kept=kept, notes=notes, wide=wide)


def _calibration(model: Model, spec: QuantizationSpec) -> Calibration:
    weights, config = model.facts.weights, model.facts.description.config
    return load_calibration(
        weights.source if weights.trained else None,
        None if spec.calibration == BUILT_IN else spec.calibration,
        spec.samples,
        model.spec.seq_len,
        config.get("vocab_size"),
    )


def _error(
    rows: NDArray[np.float32], weight: NDArray[Any], factor: NDArray[Any] | None, grade: Grade
) -> float:
    """Return the error of a layer's outputs at 8 bits, relative in L2 norm; 0 of no outputs."""
    wanted = rows @ weight.T
    if factor is not None:
        rows, weight = rows * factor, weight / factor
    found = rounded_tokens(rows) @ rounded_weight(weight, grade).T
    size = float(np.linalg.norm(wanted))
    return float(np.linalg.norm(found - wanted)) / size if size else 0.0
