"""What each layer of a model costs, how sparse it is, and what would become of it.

Free of TVM: the layers, the weights and the times of kernel calls come in as plain values, so an
exported artifact can be analysed where no compiler is installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.bench.environment import Environment
from tvm_sparse.bench.parts import latency_by_part, profile_scale
from tvm_sparse.bench.record import BenchRecord
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.fidelity.sensitivity_record import Sensitivity
from tvm_sparse.formats.int8_panels import Int8DenseFormat
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.facts import ModelDescription, WeightsFacts
from tvm_sparse.model.model import Model
from tvm_sparse.quantization.layers import kept_layers
from tvm_sparse.runtime.metadata import CallTime
from tvm_sparse.sizes import block_name
from tvm_sparse.sparsity.decision import decide
from tvm_sparse.sparsity.stats import block_sparsities

#: Blocks whose sparsity is told of every layer, (bs_r, bs_c).
BLOCK_SHAPES = ((1, 1), (4, 1), (16, 1), (32, 1), (4, 4))


@dataclass(frozen=True)
class LayerAnalysis:
    """What is known about one dense layer.

    Attributes
    ----------
    weight, shape
        Name of its weight; (N, K): outputs, inputs.
    num_params, flops, size_bytes
        Weights, floating-point operations of one inference and bytes, all when dense.
    element_sparsity
        Fraction of zero weights, 0..1.
    block_sparsities
        Fraction of zero blocks by block shape (`4x1`), 0..1. None where the blocks do not divide
        the weight; a shape that is missing was not looked at.
    eligible
        Whether name and shape allow it to run sparse.
    action, reason
        `sparse` or `dense`, and why.
    latency_ms, latency_share
        Time in its kernel, and its share of the build's latency, 0..1; None if not measured.
    timed_with
        Other weights that the same kernel call multiplies: its time is divided by FLOPs.
    predicted_sparse_ms, predicted_at_sparsity
        Predicted time when sparse, and the block sparsity that was assumed for it.
    dtype, dtype_reason
        What its weight is stored in, or would be; why that is float32 where others are rounded.
    int8_error
        By how much 8 bits put its outputs off, relative in L2 norm; None if not looked at.
    predicted_int8_ms
        Predicted time when dense and rounded to 8 bits; None if not predicted.
    """

    weight: str
    shape: tuple[int, int]
    num_params: int
    flops: int
    size_bytes: int
    element_sparsity: float
    block_sparsities: dict[str, float | None]
    eligible: bool
    action: str
    reason: str
    latency_ms: float | None = None
    latency_share: float | None = None
    timed_with: tuple[str, ...] = ()
    predicted_sparse_ms: float | None = None
    predicted_at_sparsity: float | None = None
    dtype: str = "float32"
    dtype_reason: str = ""
    int8_error: float | None = None
    predicted_int8_ms: float | None = None


@dataclass(frozen=True)
class Totals:
    """Sums over all layers of a model; times where they are known, None where of none.

    `eligible` may run sparse, `sparse` do; the shares are those of zero weights, and of the
    model's FLOPs in sparse layers, 0..1.
    """

    layers: int
    eligible: int
    sparse: int
    num_params: int
    flops: int
    size_bytes: int
    element_sparsity: float
    sparse_flops_share: float
    latency_ms: float | None
    latency_share: float | None
    predicted_sparse_ms: float | None
    predicted_int8_ms: float | None


@dataclass(frozen=True)
class Analysis:
    """The layers of one model, and their sums.

    Attributes
    ----------
    model, weights
        Which model, and where its weights come from.
    spec
        What was asked for.
    origin
        What was analysed: `model`, `cache` or `artifact`, and its name.
    block_shape
        Blocks (bs_r, bs_c) that decide what runs sparse.
    layers
        In the order in which the model runs them.
    flops
        Of all the model's products; 0 if not known, those of the layers then stand for them.
    timed_build
        The build whose times these are, `dense` or `sparse`; None if nothing was measured.
    latency_ms, parts_ms
        Its median latency, and its time by part, adding up to that; None if not measured.
    disturbance
        What tells of something else on the machine; None if nothing was measured.
    predicted_latency_ms
        Predicted latency with all eligible layers sparse; None if not predicted.
    scheme, predicted_int8_latency_ms
        What layers would be rounded to, empty if not asked for, and the predicted latency with all
        of those dense; None if not predicted.
    environment
        Where it was measured.
    sensitivity
        What pruning each layer alone costs; None if not measured.
    totals
        Sums over the layers.
    """

    schema_version: Literal[4] = field(default=4, kw_only=True)
    model: ModelDescription
    weights: WeightsFacts
    spec: dict[str, Any]
    origin: str
    block_shape: tuple[int, int]
    layers: tuple[LayerAnalysis, ...]
    flops: int = 0
    timed_build: str | None = None
    latency_ms: float | None = None
    parts_ms: dict[str, float] | None = None
    disturbance: Disturbance | None = None
    predicted_latency_ms: float | None = None
    scheme: str = ""
    predicted_int8_latency_ms: float | None = None
    environment: Environment | None = None
    sensitivity: Sensitivity | None = None
    totals: Totals = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "totals", _totals(self.layers, self.flops))


def analyze_weights(model: Model, spec: SparsitySpec) -> tuple[LayerAnalysis, ...]:
    """Look at the weights of a model's dense layers.

    Block shape, threshold and choice of layers in the spec decide what would run sparse.

    Raises
    ------
    SparsityError
        A pattern matches no layer, or the blocks divide none of the eligible layers.
    """
    block_shapes = {*BLOCK_SHAPES, spec.block_shape}
    decisions = decide(
        *(model.layers, model.params, spec.block_shape, spec.threshold), spec.include, spec.exclude
    )
    return tuple(
        _from_decision(decision, block_sparsities(layer.load(model.params), block_shapes))
        for layer, decision in zip(model.layers, decisions, strict=True)
    )


def analyze_decisions(decisions: Sequence[Decision]) -> tuple[LayerAnalysis, ...]:
    """Describe the layers of an exported build by the decisions it was made with.

    Block sparsity is known at the build's own block shape, and at 1x1.
    """
    return tuple(
        _from_decision(
            decision,
            {(1, 1): decision.element_sparsity, decision.block_shape: decision.block_sparsity},
        )
        for decision in decisions
    )


def add_rounding(analysis: Analysis, model: Model) -> Analysis:
    """Tell of every layer of a model that was looked at what 8 bits do to it, or why they do not.

    Takes a model after `quantize`.
    """
    known = model.quantization
    assert known is not None  # the caller has looked
    kept = kept_layers(model.layers, known.kept)
    layers = []
    for layer in analysis.layers:
        name = layer.weight
        refusal = kept.get(name) or Int8DenseFormat.depth_refusal(layer.shape[1])
        dtype = "int16" if name in known.wide else "int8"
        layers.append(
            replace(
                layer,
                dtype="float32" if refusal else dtype,
                dtype_reason=refusal or known.wide.get(name) or known.notes.get(name, ""),
                int8_error=known.errors.get(name),
            )
        )
    return replace(analysis, layers=tuple(layers), scheme=known.spec.scheme)


def add_times(
    layers: Sequence[LayerAnalysis], calls: Sequence[CallTime], latency_ms: float
) -> tuple[tuple[LayerAnalysis, ...], dict[str, float]]:
    """Give every layer the time its kernel took, and return that of every part, too.

    `calls` are all of one inference. Where they add up to more than `latency_ms`, that of an
    inference that was not profiled, they are scaled to it; what they leave is `rest`. Layers
    multiplied by one call share its time in proportion to their FLOPs.
    """
    scale = profile_scale(calls, latency_ms)
    by_name = {layer.weight: layer for layer in layers}
    times = {layer.weight: 0.0 for layer in layers}
    partners: dict[str, tuple[str, ...]] = {}
    for call in calls:
        members = [by_name[name] for name in call.members if name in by_name]
        for member, share in zip(members, flops_shares(members), strict=True):
            times[member.weight] += share * scale * call.latency_ms
            partners[member.weight] = tuple(m.weight for m in members if m is not member)
    timed = tuple(
        replace(
            layer,
            latency_ms=times[layer.weight],
            latency_share=times[layer.weight] / latency_ms,
            timed_with=partners.get(layer.weight, ()),
        )
        for layer in layers
    )
    return timed, latency_by_part(calls, latency_ms)


def add_measurement(analysis: Analysis, build: str, record: BenchRecord) -> Analysis:
    """Return the analysis with what was measured, with profiling, of one of its builds."""
    measured = record.builds[build]
    latency_ms = measured.latency_ms.median
    layers, parts_ms = add_times(analysis.layers, measured.calls, latency_ms)
    return replace(
        analysis,
        layers=layers,
        timed_build=build,
        latency_ms=latency_ms,
        parts_ms=parts_ms,
        disturbance=record.disturbance,
        environment=record.environment,
    )


def flops_shares(members: Sequence[LayerAnalysis]) -> list[float]:
    """Return how the time of a call divides among the layers it multiplies; adds up to 1."""
    flops = sum(member.flops for member in members)
    return [member.flops / flops if flops else 1 / len(members) for member in members]


def _from_decision(
    decision: Decision, zeros: Mapping[tuple[int, int], float | None]
) -> LayerAnalysis:
    n, k = decision.shape
    return LayerAnalysis(
        weight=decision.weight,
        shape=decision.shape,
        num_params=n * k,
        flops=decision.flops,
        size_bytes=decision.size_bytes,
        element_sparsity=decision.element_sparsity,
        block_sparsities={block_name(shape): zeros[shape] for shape in sorted(zeros, key=_order)},
        eligible=decision.eligible,
        action=decision.action,
        reason=decision.reason,
        dtype=decision.dtype,
        dtype_reason=decision.dtype_reason,
        int8_error=decision.int8_error,
    )


def _order(block_shape: tuple[int, int]) -> tuple[int, int]:
    return block_shape[1], block_shape[0]


def _totals(layers: Sequence[LayerAnalysis], flops: int) -> Totals:
    total = sum(layer.num_params for layer in layers)
    zeros = sum(layer.element_sparsity * layer.num_params for layer in layers)
    dense_flops = sum(layer.flops for layer in layers)
    flops = max(flops, dense_flops)
    sparse = [layer for layer in layers if layer.action == "sparse"]
    return Totals(
        layers=len(layers),
        eligible=sum(layer.eligible for layer in layers),
        sparse=len(sparse),
        num_params=total,
        flops=dense_flops,
        size_bytes=sum(layer.size_bytes for layer in layers),
        element_sparsity=zeros / total if total else 0.0,
        sparse_flops_share=sum(layer.flops for layer in sparse) / flops if flops else 0.0,
        latency_ms=_sum_known(layer.latency_ms for layer in layers),
        latency_share=_sum_known(layer.latency_share for layer in layers),
        predicted_sparse_ms=_sum_known(layer.predicted_sparse_ms for layer in layers),
        predicted_int8_ms=_sum_known(layer.predicted_int8_ms for layer in layers),
    )


def _sum_known(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
