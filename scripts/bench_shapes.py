#!/usr/bin/env python3
"""Measure one build of any batch and length beside builds for one shape, of the same weights.

    python scripts/bench_shapes.py --model bert-base --shapes 1x16,1x61,8x128 --blocks dense,4x1

At each shape both take turns, each in a process of its own, again where something else had the
cores; what is disturbed all the same has a question mark. Pages lie elsewhere in every process,
and collide elsewhere in the caches: figures are medians of several pairs of processes. Then a
ragged batch: texts of many lengths in one call, in tokens per second, beside a batch of full
sequences. Compile time and size of both are those in the artifacts. What is printed last are the
tables of docs/shapes.md.
`--prepare` makes the builds alone, which takes long, for a run on a quiet machine later.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from tvm_sparse.api.benchmark import inputs_at
from tvm_sparse.api.builds import Builds, compile
from tvm_sparse.api.models import load_model, sparsify
from tvm_sparse.bench.disturbance import until_quiet
from tvm_sparse.bench.rounds import measure_rounds
from tvm_sparse.bench.worker_process import WorkerProcess
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import TvmSparseError
from tvm_sparse.formats.builds import DENSE, SPARSE
from tvm_sparse.progress import silent
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.metadata import LIBRARY_FILE, load_metadata
from tvm_sparse.sizes import parse_block_shape, parse_shapes
from tvm_sparse.words import counted

console = Console(highlight=False)

#: Texts of a ragged batch, and the tokens of each of the full sequences beside them.
_TEXTS, _FULL = 32, 128


class Bench:
    """The options that all measurements share."""

    def __init__(
        self, model: str, sparsity: float, spec: BenchSpec, pairs: int, cache_dir: str | None
    ) -> None:
        self.model, self.sparsity, self.spec, self.cache_dir = model, sparsity, spec, cache_dir
        self.pairs = pairs

    def build(self, blocks: str, batch: int, seq_len: int, is_open: bool) -> Builds:
        """Compile a build, or take it from the cache."""
        spec = ModelSpec(
            self.model, weights="random", batch=batch, seq_len=seq_len, is_open=is_open
        )
        model = load_model(spec, cache_dir=self.cache_dir)
        if blocks != DENSE.name:
            shape = parse_block_shape(blocks)
            sparse = SparsitySpec(
                self.sparsity, shape, sparsity_threshold=0.5, select="threshold", prune="random"
            )
            model = sparsify(model, sparse)
        return compile(model, builds=(DENSE.name if blocks == DENSE.name else SPARSE.name,))

    def compare(
        self, any_shape: Builds, one_shape: Builds, shape: tuple[int, int], threads: int
    ) -> str:
        """Return both median latencies in milliseconds, their ratio, and a mark of doubt."""
        inputs = inputs_at(any_shape, shape)
        pairs, doubtful = [], False
        for _ in range(self.pairs):
            with contextlib.ExitStack() as stack:
                workers = {}
                for name, builds in (("open", any_shape), ("static", one_shape)):
                    worker = WorkerProcess(directory_of(builds), threads)
                    workers[name] = stack.enter_context(worker)
                    workers[name].bind(inputs)
                found, disturbance = until_quiet(
                    lambda workers=workers: measure_rounds(workers, self.spec, silent),
                    console.print,
                )
            pairs.append([np.median(found[name].samples_ms) for name in workers])
            doubtful |= disturbance.is_high
        latencies = np.array(pairs)
        ours, static = np.median(latencies, axis=0)
        more = np.median(latencies[:, 0] / latencies[:, 1]) - 1
        return f"{ours:.3g} / {static:.3g} ({more:+.0%}{'?' if doubtful else ''})"


def directory_of(builds: Builds) -> Path:
    """Return the one artifact there is."""
    return next(iter(builds.directories.values()))


def facts(builds: Builds) -> tuple[float, float]:
    """Return compile time in seconds, and the megabytes of a build's code."""
    metadata = load_metadata(directory_of(builds))
    size = metadata.files[LIBRARY_FILE].size_bytes
    return metadata.compile_s, (size - metadata.weights_bytes) / 1e6


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown; the first column has no name."""
    lines = [["", *header], ["---"] * (len(header) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ragged_rates(builds: Builds, threads: int, seconds: float) -> tuple[float, float]:
    """Return tokens per second of texts of many lengths, and of full sequences, in turns."""
    model = load(directory_of(builds), threads)
    rng = np.random.default_rng(0)
    most = min(300, model.inputs[0].shape[1])
    # Most texts are short, some are long.
    lengths = np.clip(np.exp(rng.normal(3.9, 0.9, _TEXTS)).astype(int), 5, most)
    rows = model.inputs[0].below or 1000
    texts = [rng.integers(1, rows, length) for length in lengths]
    full = rng.integers(1, rows, (8, _FULL))
    runs: list[tuple[Callable[[], object], int]] = [
        (lambda: model.run_ragged(texts), int(lengths.sum())),
        (lambda: model.run(input_ids=full), full.size),
    ]
    taken: list[list[float]] = [[], []]
    stop = time.perf_counter() + seconds
    while time.perf_counter() < stop or len(taken[0]) < 5:
        for index, (run, _) in enumerate(runs):
            start = time.perf_counter()
            run()
            taken[index].append(time.perf_counter() - start)
    rates = [tokens / np.median(times) for (_, tokens), times in zip(runs, taken, strict=True)]
    return float(rates[0]), float(rates[1])


@click.command(help=__doc__)
@click.option("--model", default="bert-mini", show_default=True)
@click.option("--limit", default="32x512", show_default=True, help="Largest batch x tokens.")
@click.option("--shapes", default="1x7,1x16,1x61,1x100,1x128,1x300,1x384,8x128", show_default=True)
@click.option("--blocks", default="dense,1x1,4x1,16x1", show_default=True)
@click.option("--sparsity", default=0.95, show_default=True)
@click.option("--threads", default="1,2", show_default=True)
@click.option("--time", "time_s", default=2.0, show_default=True, help="Seconds per build.")
@click.option("--pairs", default=3, show_default=True, help="Pairs of processes a figure.")
@click.option("--prepare", is_flag=True, help="Make the builds, measure nothing.")
@click.option("--cache-dir", help="Cache of imported models and builds.")
def main(
    model: str,
    limit: str,
    shapes: str,
    blocks: str,
    sparsity: float,
    threads: str,
    time_s: float,
    pairs: int,
    prepare: bool,
    cache_dir: str | None,
) -> None:
    """Measure what the options ask for."""
    counts = [int(count) for count in threads.split(",")]
    latencies: list[list[str]] = []
    compiling: list[list[str]] = []
    try:
        bench = Bench(model, sparsity, BenchSpec(time_s=time_s, warmup_s=0.2), pairs, cache_dir)
        ((most, longest),) = parse_shapes(limit)
        for kind in blocks.split(","):
            label = kind if kind == DENSE.name else f"{sparsity:.0%} {kind}".replace("%", " %")
            any_shape = bench.build(kind, most, longest, is_open=True)
            fixed = {
                shape: bench.build(kind, *shape, is_open=False) for shape in parse_shapes(shapes)
            }
            usual = fixed.get((1, _FULL)) or next(iter(fixed.values()))
            both = zip(facts(any_shape), facts(usual), strict=True)
            compiling.append([label, *(f"{ours:.2f} / {static:.2f}" for ours, static in both)])
            for count in () if prepare else counts:
                row = [f"{label}, {counted(count, 'thread')}"]
                for shape, one_shape in fixed.items():
                    row.append(bench.compare(any_shape, one_shape, shape, count))
                    console.print(f"{row[0]}, {shape[0]}x{shape[1]}: {row[-1]}")
                ragged, full = ragged_rates(any_shape, count, 4 * time_s)
                latencies.append([*row, f"{ragged / full:.2f}"])
    except TvmSparseError as error:
        raise click.ClickException(str(error)) from None
    if latencies:
        print(table([*shapes.split(","), f"{_TEXTS} texts to full sequences"], latencies))
    print(table(["compile time, s", "code, MB"], compiling))


if __name__ == "__main__":
    main()
