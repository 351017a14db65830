"""Search of register tiles: every product of a build, on every token tile that fits its sequence.

All layers of a build share one token tile, so each product is tuned for each, and the token tile
with the least time over all products wins. What the table in `formats` says stays unless
something else is faster by more than noise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.bsr_tiles import LOOKAHEAD_STEPS, fitting_lanes
from tvm_sparse.formats.builds import BuildSpec
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.registry import weights_of
from tvm_sparse.formats.token_layout import (
    HIGH_BLOCK_ROWS,
    TokenLayout,
    fitting_vectors,
)
from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
from tvm_sparse.model.layer import Layer
from tvm_sparse.progress import Progress, silent
from tvm_sparse.runtime.metadata import KernelCall
from tvm_sparse.sparsity.bsr import divides
from tvm_sparse.target import CpuTarget, resolve_target
from tvm_sparse.tiles import DenseTile, SparseTile, Tiles, TokenTile
from tvm_sparse.tuning.kernel_job import KernelJob, build_kernel
from tvm_sparse.tuning.races import Races
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.tuned_build import TunedProduct

#: What is faster by less is noise.
_LEAST_GAIN = 0.02
#: Rows or lanes tried for each token tile.
_SIZES_TRIED = 3


@dataclass(frozen=True)
class _Rival:
    tiles: Tiles
    ms: float

    @property
    def vectors(self) -> int:
        return self.tiles.tokens[0].vectors


def products_of(
    calls: Iterable[KernelCall],
    layers: Iterable[Layer],
    batch: int,
    seq_len: int,
    num_passes: int = 1,
) -> dict[KernelJob, int]:
    """Return the products of a dense build's encoder, with the number of their calls.

    Parameters
    ----------
    calls, layers
        Kernel calls of the build, layers of the model.
    batch, seq_len : int
        Sequences of one pass through the model, and tokens of a sequence.
    num_passes : int
        Passes of an inference: micro-batches, which meet the same weights again.
    """
    encoder = {layer.canonical_name for layer in layers if layer.role not in ("head", "pooler")}
    found = Counter(
        call.facts
        for call in calls
        if call.facts.kind == "packed_dense" and encoder.issuperset(call.members)
    )
    num_weights = sum(count * facts.units * facts.depth for facts, count in found.items())
    return {
        KernelJob(facts, batch, seq_len, num_weights=num_weights // num_passes): count
        for facts, count in found.items()
    }


def tune_build(
    products: Mapping[KernelJob, int],
    build: BuildSpec,
    block_shape: tuple[int, int] | None,
    density: float,
    threads: int,
    records: Records,
    progress: Progress = silent,
) -> list[TunedProduct]:
    """Find the fastest tiles of a build's products.

    Every race is kept as soon as it is run. Products that the blocks do not divide are left out.

    Parameters
    ----------
    products : mapping of KernelJob to int
        What `products_of` returned.
    build : BuildSpec
        In whose formats they run.
    block_shape : (int, int) or None
        (bs_r, bs_c) of a sparse build; None of a dense one.
    density : float
        Share of non-zero blocks, 0..1.
    threads : int
        Threads to run on.
    records, progress
        Keeps the times; receives one line a race.

    Raises
    ------
    BuildError
        If the measuring process dies.
    """
    jobs = {
        _as_in(build, job.as_sparse(block_shape) if block_shape else job): calls
        for job, calls in products.items()
        if block_shape is None or divides(block_shape, (job.kernel.units, job.kernel.depth))
    }
    dtype = weights_of(build, is_sparse=False).dtype
    with Races(density, threads, records, progress) as races:
        rivals = {job: _race_all(job, dtype, races) for job in jobs}
    if not rivals:
        return []
    default = next(iter(rivals.values()))[0].vectors

    def total_ms(vectors: int) -> float:
        return sum(calls * _best(rivals[job], vectors).ms for job, calls in jobs.items())

    options = {rival.vectors for rival in next(iter(rivals.values()))}
    chosen = min(options, key=total_ms)
    if total_ms(chosen) > (1 - _LEAST_GAIN) * total_ms(default):
        chosen = default
    tuned = []
    for job, calls in jobs.items():
        before, best = rivals[job][0], _best(rivals[job], chosen)
        if chosen == default and best.ms > (1 - _LEAST_GAIN) * before.ms:
            best = before
        tuned.append(
            TunedProduct(
                *(job.kernel.units, job.kernel.depth, job.kernel.block_shape, calls),
                *(before.tiles, best.tiles, before.ms, best.ms),
            )
        )
    return tuned


def _as_in(build: BuildSpec, job: KernelJob) -> KernelJob:
    return replace(job, kernel=build_kernel(job.kernel, build))


def _best(rivals: Sequence[_Rival], vectors: int) -> _Rival:
    return min((r for r in rivals if r.vectors == vectors), key=lambda rival: rival.ms)


def _race_all(job: KernelJob, dtype: str, races: Races) -> list[_Rival]:
    """Return all rivals of a product with their times, first the one of the table.

    `dtype` is what the dense layers of its build multiply in.
    """
    target, density = resolve_target(threads=races.threads), races.density
    tokens = [
        TokenTile(job.layout_rows, job.seq_len, vectors, dtype)
        for vectors in fitting_vectors(job.seq_len, target, job.layout_rows)
    ]
    options = [token.vectors for token in tokens]
    first = [
        tiles
        for token in tokens
        for tiles in _distinct(job, density, _sizes(job, density, token, target), target)
    ]
    rivals = _race(job, first, races)
    if job.kernel.kind == "sparse_dense":
        best = [_best(rivals, vectors).tiles for vectors in options]
        second = [
            tiles
            for one in best
            for tiles in _distinct(job, density, [one, *_packings(job, one)], target)[1:]
        ]
        if second:
            # The table's is the measure of both races.
            table = rivals[0]
            others = _race(job, [table.tiles, *second], races)
            scale = table.ms / others[0].ms
            rivals += [_Rival(rival.tiles, rival.ms * scale) for rival in others[1:]]
    return rivals


def _race(job: KernelJob, tiles: list[Tiles], races: Races) -> list[_Rival]:
    times_ms = races.run([replace(job, tiles=one) for one in tiles])
    return [_Rival(*pair) for pair in zip(tiles, times_ms, strict=True)]


def _sizes(job: KernelJob, density: float, token: TokenTile, target: CpuTarget) -> list[Tiles]:
    """Return the register tiles worth trying on a token tile, first the one of the table."""
    vectors, dtype = token.vectors, job.kernel.dtype
    units, depth, (bs_r, bs_c) = job.kernel.units, job.kernel.depth, job.kernel.block_shape
    form, layout = _form(job, density, token, target)
    if isinstance(form, DenseFormat):
        table, most = form.rows, form.most_rows(layout, target)
        # More rows than divide the weight would multiply padding.
        dividing = [n for n in range(most, 0, -1) if units % n == 0]
        rows = dict.fromkeys([table, *dividing[:_SIZES_TRIED]])
        return [Tiles((token,), dense=(DenseTile(units, depth, vectors, n, dtype),)) for n in rows]
    assert isinstance(form, SparseFormat)
    lanes = fitting_lanes(units // bs_r, bs_r, layout, target)[:_SIZES_TRIED]
    shape = (units, depth, (bs_r, bs_c), vectors, density)
    return [
        Tiles((token,), sparse=(SparseTile(*shape, n, form.panels, form.lookahead, dtype),))
        for n in lanes
    ]


def _form(
    job: KernelJob, density: float, token: TokenTile, target: CpuTarget
) -> tuple[WeightFormat, TokenLayout]:
    """Return how a product's weight is packed on a token tile, and the tokens."""
    layout = TokenLayout(job.batch, job.seq_len, token.vectors * target.lanes(), target.lanes())
    kernel = job.kernel
    shape = ProductShape(kernel.units, kernel.depth, layout, kernel.block_shape, density)
    assert job.weights is not None  # it is a product
    return job.weights.choose(shape, target), layout


def _distinct(
    job: KernelJob, density: float, rivals: Sequence[Tiles], target: CpuTarget
) -> list[Tiles]:
    """Return the first tiles of each form: formats leave alone what does not suit them."""
    found: dict[WeightFormat, Tiles] = {}
    for tiles in rivals:
        form, _ = _form(job, density, tiles.tokens[0], replace(target, tiles=tiles))
        found.setdefault(form, tiles)
    return [*found.values()]


def _packings(job: KernelJob, tiles: Tiles) -> list[Tiles]:
    """Return other panels with the lanes of some tiles; for high blocks, looking ahead or not."""
    (tile,) = tiles.sparse
    most = job.kernel.depth // job.kernel.block_shape[1]
    tried = (tile.panels // 2, tile.panels - 1, tile.panels + 1, 2 * tile.panels, 4 * tile.panels)
    numbers = sorted({n for n in tried if 1 <= n <= most} - {tile.panels})
    others = [replace(tile, panels=n) for n in numbers]
    if job.kernel.block_shape[0] >= HIGH_BLOCK_ROWS:
        others.append(replace(tile, lookahead=0 if tile.lookahead else LOOKAHEAD_STEPS))
    return [replace(tiles, sparse=(other,)) for other in others]
