"""The dense build of a setting: its latency, its kernel calls, and which of them could be sparse.

What of it would stay as it is in a sparse build is the part of a prediction that is measured
rather than modelled.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median_low

from tvm_sparse.bench.parts import latency_by_part, profile_scale
from tvm_sparse.bench.record import BenchRecord
from tvm_sparse.config.micro_batches import nominal_length
from tvm_sparse.formats.builds import DENSE, SPARSE, BuildSpec
from tvm_sparse.formats.registry import weights_of
from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
from tvm_sparse.model.layer import Layer
from tvm_sparse.runtime.metadata import CallTime
from tvm_sparse.sparsity.decision import eligible_layers
from tvm_sparse.target import resolve_target
from tvm_sparse.tiles import NO_TILES, Tiles
from tvm_sparse.tuning.kernel_job import KernelJob
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.cost import Product

# Whether a kernel looks ahead does not hang on it, unless it was tuned for one.
_SOME_DENSITY = 0.1


@dataclass(frozen=True)
class KeptBaseline:
    """What is kept of a dense build, enough for `Baseline.from_record`."""

    record: BenchRecord
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Baseline:
    """What was measured of a dense build, and its layers.

    Attributes
    ----------
    setting : Setting
        Where it was measured.
    latency_ms : float
        One inference, see `BuildRecord.undisturbed_ms`; at most what its calls take together.
    weights_bytes : int
        Its weights in memory.
    calls : tuple of CallTime
        Times of its kernel calls, in order; those of one kernel have one time, see `pooled`.
    layers : tuple of Layer
        All dense layers of the model.
    record : BenchRecord
        The measurement.
    tiles : Tiles
        The tuned tiles it was built with.
    """

    setting: Setting
    latency_ms: float
    weights_bytes: int
    calls: tuple[CallTime, ...]
    layers: tuple[Layer, ...]
    record: BenchRecord
    tiles: Tiles = NO_TILES

    @classmethod
    def from_record(
        cls,
        setting: Setting,
        record: BenchRecord,
        layers: Sequence[Layer],
        tiles: Tiles = NO_TILES,
    ) -> Baseline:
        """Return the baseline of a benchmark with a profile of its dense build."""
        build = record.builds[DENSE.name]
        # The build for one shape lists the calls of every pass, an open one those of one.
        calls = build.calls if not setting.is_open else _by_pass(build.calls, setting.passes)
        calls = pooled(calls)
        # Were it over the sum of its calls, the difference would pass for a part that stays.
        latency_ms = min(build.undisturbed_ms, sum(call.latency_ms for call in calls))
        return cls(
            setting,
            latency_ms,
            build.weights_bytes,
            calls,
            tuple(layers),
            record,
            tiles,
        )

    @property
    def disturbed(self) -> bool:
        """Whether something else kept the machine busy meanwhile."""
        return self.record.disturbance.is_high

    @property
    def parts_ms(self) -> dict[str, float]:
        """Time by part, see `latency_by_part`."""
        return latency_by_part(self.calls, self.latency_ms)

    @property
    def profile_scale(self) -> float:
        """Factor that brings profiled times to the measured latency, at most 1."""
        return profile_scale(self.calls, self.latency_ms)

    def members(self, call: CallTime) -> list[Layer]:
        """Return the layers whose weights a call multiplies; empty for what is no product."""
        by_name = {layer.canonical_name: layer for layer in self.layers}
        found = [by_name[name] for name in call.members if name in by_name]
        return found if len(found) == len(call.members) else []

    def reasons(
        self,
        block_shape: tuple[int, int],
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> dict[str, str]:
        """Return for each layer's name why it stays dense, empty if it would be sparse.

        Raises
        ------
        SparsityError
            A pattern matches no layer, or the blocks divide none that are eligible.
        """
        refusals = eligible_layers(self.layers, block_shape, include, exclude)
        for call in self.calls:
            if call.facts.kind == "packed_dense":
                continue
            for layer in self.members(call):
                refusals[layer.name] = (
                    refusals[layer.name] or f"runs in {call.kernel}, which has no sparse form"
                )
        return refusals

    def products(
        self,
        block_shape: tuple[int, int],
        include: Sequence[str] = (),
        exclude: Sequence[str] = (),
    ) -> list[tuple[Product, KernelJob]]:
        """Return the products that would run sparse, grouped by kernel, with their sparse kernel.

        Raises
        ------
        SparsityError
            As `reasons` does.
        """
        refusals = self.reasons(block_shape, include, exclude)
        groups: dict[str, list[CallTime]] = defaultdict(list)
        for call in self.calls:
            members = self.members(call)
            if members and not any(refusals[layer.name] for layer in members):
                groups[call.kernel].append(call)
        weights = sum(self._size(call) for calls in groups.values() for call in calls)
        # Every micro-batch meets all of them again.
        weights //= self.setting.passes
        return [self._product(name, calls, block_shape, weights) for name, calls in groups.items()]

    def layout_jobs(self, layout_rows: int) -> dict[str, KernelJob]:
        """Return the attention and norm kernels by name.

        Parameters
        ----------
        layout_rows : int
            `bs_r` of the build, 0 for the dense one.
        """
        return {
            call.kernel: KernelJob(
                call.facts,
                self.setting.micro_batch,
                self.setting.seq_len,
                layout_rows,
                is_open=self.setting.is_open,
            )
            for call in self.calls
            if call.facts.kind in ("attention", "layer_norm")
        }

    def _size(self, call: CallTime) -> int:
        return sum(layer.shape[0] * layer.shape[1] for layer in self.members(call))

    def _product(
        self, name: str, calls: list[CallTime], block_shape: tuple[int, int], num_weights: int
    ) -> tuple[Product, KernelJob]:
        first, facts = self.members(calls[0])[0], calls[0].facts
        job = KernelJob(
            facts.as_sparse(block_shape),
            self.setting.micro_batch,
            self._tokens(first, calls),
            layout_rows=block_shape[0],
            num_weights=num_weights,
            is_open=self.setting.is_open,
        )
        product = Product(
            name=name,
            calls=len(calls),
            units=facts.units,
            depth=facts.depth,
            dense_ms=calls[0].latency_ms * self.profile_scale,
            dense_form=form_of(DENSE, job, (0, 0), NO_TILES),
            sparse_form=form_of(SPARSE, job, block_shape, self.tiles),
            passes=self.setting.passes,
        )
        return product, job

    def _tokens(self, layer: Layer, calls: list[CallTime]) -> int:
        """Return the rows that a product has of each sequence: its tokens, or only some."""
        rows = layer.flops // (2 * layer.shape[0] * layer.shape[1])
        if self.setting.limits is not None:  # FLOPs are those of one short text
            short = nominal_length(self.setting.limits[1])
            return max(1, rows * self.setting.seq_len // short if rows >= short else rows)
        reads = sum(layer in self.members(call) for call in calls)
        return max(1, rows // (max(reads, 1) * self.setting.micro_batch))


def form_of(
    build: BuildSpec, job: KernelJob, block_shape: tuple[int, int], tiles: Tiles
) -> WeightFormat:
    """Return how a build packs the weight of a product."""
    target, facts = resolve_target(tiles=tiles), job.kernel
    layout = replace(job, layout_rows=block_shape[0]).layout(target)
    shape = ProductShape(facts.units, facts.depth, layout, block_shape, _SOME_DENSITY)
    return weights_of(build, build.is_sparse).choose(shape, target)


def _by_pass(calls: Sequence[CallTime], passes: int) -> tuple[CallTime, ...]:
    """Return the calls of every pass; what is given has the times of all passes together."""
    return tuple(replace(call, latency_ms=call.latency_ms / passes) for call in calls) * passes


def pooled(calls: Sequence[CallTime]) -> tuple[CallTime, ...]:
    """Return the calls with one time for all of a kernel: they do the same work.

    It is their median, of an even number the lower one: what takes a core away for the length of
    a profile hits one layer and not the next.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        times[call.kernel].append(call.latency_ms)
    usual = {kernel: median_low(found) for kernel, found in times.items()}
    return tuple(replace(call, latency_ms=usual[call.kernel]) for call in calls)
