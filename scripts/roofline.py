#!/usr/bin/env python3
"""Measure what this machine can do at most, and how near to it each product kernel comes.

    python scripts/roofline.py --threads 2 --out roofline.json

Shares of the peak are of one core. All kernels take turns, with one thread and with --threads, in
rounds spread over the whole run. A shared machine is slower at times, for seconds, with one core or
with all: times are those of the fastest round, as a limit is what is reached at best.

GFLOP/s count the non-zeros alone (all elements of non-zero blocks). A block of bs_r rows uses each
activation that is loaded bs_r times; "from L1" and "from L2" say what that allows when the
activations come from there: min(FMA peak, bandwidth / (2 / bs_r bytes per operation)).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.records.write import write_json
from tvm_sparse.sparsity.patterns import fill_random

if TYPE_CHECKING:
    from tvm_sparse.bench.machine import Roofline
    from tvm_sparse.bench.product_kernel import ProductKernel

SCHEMA_VERSION = 2
# (N, K) of BERT-base and MiniLM: attention, feed-forward up and down.
SHAPES = "768x768,3072x768,768x3072,384x384,1536x384,384x1536"

ROUNDS = 24

console = Console()


@dataclass(frozen=True)
class KernelPoint:
    """Where one kernel stands.

    Attributes
    ----------
    kernel : str
        `dense`, or the block shape.
    units, depth, tokens : int
        N, K and M.
    sparsity : float
        Block sparsity, 0 for the dense kernel.
    latency_ms, gflop_s : float
        Time of a call with one thread, the least of the rounds' medians, and operations on the
        non-zeros per second over it, 1e9.
    peak_share : float
        `gflop_s` over the machine's FMA peak, 0..1.
    speedup : float or None
        Time with one thread over that with all of them, both least; None for one.
    round_ms : dict of str to list of float
        Median time of a call in each round, by number of threads.
    l1_limit_gflop_s, l2_limit_gflop_s : float or None
        What loading the activations from L1 or L2 allows; None for the dense kernel.
    """

    kernel: str
    units: int
    depth: int
    tokens: int
    sparsity: float
    latency_ms: float
    gflop_s: float
    peak_share: float
    speedup: float | None
    round_ms: dict[str, list[float]]
    l1_limit_gflop_s: float | None
    l2_limit_gflop_s: float | None


def measure_kernels(
    roofline: Roofline,
    shapes: list[tuple[int, int]],
    tokens: int,
    kinds: list[tuple[tuple[int, int] | None, float]],
    threads: int,
    seconds: float,
) -> Iterator[KernelPoint]:
    """Yield a point for each shape and kind (block shape or None, sparsity)."""
    from tvm_sparse.bench.product_kernel import build_product

    rng = np.random.default_rng(0)
    kernels: list[tuple[tuple[int, int] | None, float, ProductKernel]] = []
    for units, depth in shapes:
        full = rng.standard_normal((units, depth)).astype(np.float32)
        for block_shape, sparsity in kinds:
            weight = fill_random(full, block_shape, sparsity, rng) if block_shape else full
            kernels.append((block_shape, sparsity, build_product(weight, tokens, block_shape)))
    times = measure_rounds([kernel for *_, kernel in kernels], threads, seconds)
    bandwidth = {b.level: b.bandwidth_gb_s for b in roofline.bandwidths}
    for (block_shape, sparsity, kernel), by_threads in zip(kernels, times, strict=True):
        latency_ms = min(by_threads[1])
        gflop_s = kernel.flops / latency_ms / 1e6
        limits = [
            min(roofline.fma_gflop_s, bandwidth[level] * block_shape[0] / 2)
            if block_shape
            else None
            for level in ("L1", "L2")
        ]
        yield KernelPoint(
            "x".join(map(str, block_shape)) if block_shape else "dense",
            *(kernel.units, kernel.depth, tokens, sparsity, latency_ms, gflop_s),
            gflop_s / roofline.fma_gflop_s,
            latency_ms / min(by_threads[threads]) if threads > 1 else None,
            {str(number): ms for number, ms in by_threads.items()},
            *limits,
        )


def measure_rounds(
    kernels: list[ProductKernel], threads: int, seconds: float
) -> list[dict[int, list[float]]]:
    """Return the milliseconds of each kernel's rounds by number of threads."""
    from tvm_sparse.runtime.crew import on_threads

    numbers = sorted({1, threads})
    times: list[dict[int, list[float]]] = [{number: [] for number in numbers} for _ in kernels]
    data = {
        depth: np.random.default_rng(depth).standard_normal((kernels[0].tokens, depth), np.float32)
        for depth in {kernel.depth for kernel in kernels}
    }
    for _ in track(range(ROUNDS), "rounds of all kernels", console=console):
        for kernel, by_threads in zip(kernels, times, strict=True):
            for number in numbers:
                measure = partial(kernel.measure_ms, data[kernel.depth], seconds / ROUNDS)
                ms = on_threads(number, measure)
                by_threads[number].append(ms)
    return times


def render_machine(roofline: Roofline) -> Table:
    """Return the table of the machine's limits."""
    table = Table(title=f"Limits with {roofline.threads} thread(s)", box=box.SIMPLE_HEAD)
    table.add_column("what")
    table.add_column("measured", justify="right")
    table.add_row("multiply-adds, float32", f"{roofline.fma_gflop_s:.1f} GFLOP/s")
    for item in roofline.bandwidths:
        size = f"{item.working_set_bytes / 1024:.0f} KiB"
        table.add_row(f"reading {item.level} ({size})", f"{item.bandwidth_gb_s:.1f} GB/s")
    return table


def render_kernels(points: list[KernelPoint]) -> Table:
    """Return the table of the kernels."""
    table = Table(title=f"Products at M = {points[0].tokens}", box=box.SIMPLE_HEAD)
    columns = ("kernel", "N x K", "zeros", "ms", "GFLOP/s", "of peak", "threads")
    for name in (*columns, "from L1", "from L2"):
        table.add_column(name, justify="left" if name == "kernel" else "right")
    shape = None
    for point in points:
        if shape not in (None, (point.units, point.depth)):
            table.add_section()
        shape = (point.units, point.depth)
        limits = (point.l1_limit_gflop_s, point.l2_limit_gflop_s)
        table.add_row(
            point.kernel,
            f"{point.units}x{point.depth}",
            f"{point.sparsity:.0%}",
            f"{point.latency_ms:.4f}",
            f"{point.gflop_s:.1f}",
            f"{point.peak_share:.1%}",
            "-" if point.speedup is None else f"{point.speedup:.2f}x",
            *("-" if limit is None else f"{limit:.0f}" for limit in limits),
        )
    return table


def pairs(text: str) -> list[tuple[int, int]]:
    """Return the pairs in an option such as `768x768,3072x768`."""
    parts = [part.split("x") for part in text.split(",") if part]
    return [(int(first), int(second)) for first, second in parts]


@click.command(help=__doc__)
@click.option("--shapes", default=SHAPES, show_default=True, help="N x K of the weights.")
@click.option("--tokens", default=128, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--sparsity", default=".95,.8", show_default=True)
@click.option("--block-shapes", default="1x1,4x1,16x1", show_default=True)
@click.option(
    "--time",
    "seconds",
    default=0.5,
    show_default=True,
    help="Seconds per kernel and number of threads.",
)
@click.option("--out", type=click.Path(path_type=Path), help="JSON record.")
def main(
    shapes: str,
    tokens: int,
    threads: int,
    sparsity: str,
    block_shapes: str,
    seconds: float,
    out: Path | None,
) -> None:
    """Measure and print what the options ask for."""
    # TVM reads it when it makes its thread pool.
    os.environ["TVM_NUM_THREADS"] = str(threads)
    os.environ.setdefault("TVM_BIND_THREADS", "0")
    from tvm_sparse.bench.machine import measure_roofline
    from tvm_sparse.runtime.crew import on_threads

    environment = detect_environment(threads)
    rooflines = []
    for number in sorted({1, threads}):
        report = partial(console.print, style="dim")
        rooflines.append(on_threads(number, partial(measure_roofline, number, report)))
        console.print(render_machine(rooflines[-1]))
    kinds: list[tuple[tuple[int, int] | None, float]] = [(None, 0.0)]
    for share in sparsity.split(","):
        kinds += [(block_shape, float(share)) for block_shape in pairs(block_shapes)]
    points = list(measure_kernels(rooflines[0], pairs(shapes), tokens, kinds, threads, seconds))
    console.print(render_kernels(points))
    if out is not None:
        document: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "environment": asdict(environment),
            "rooflines": [asdict(roofline) for roofline in rooflines],
            "kernels": [asdict(point) for point in points],
        }
        write_json(out, document)
        console.print(f"wrote {out}")


if __name__ == "__main__":
    main()
