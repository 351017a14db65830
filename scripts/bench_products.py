#!/usr/bin/env python3
"""Measure single products beside scipy's, PyTorch's and MKL's: out = data @ weight.T.

    python scripts/bench_products.py --shapes 768x768,3072x768 --sparsity .95 --out NAME.json

Shapes are N x K of a layer's weight. Data and result are in the layout each library likes best;
what turning them around would cost is not in the numbers.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import datetime, timezone
from pathlib import Path

import click
import numpy as np
from rich.console import Console

import tvm_sparse
from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.bench.peers.compare import compare
from tvm_sparse.bench.peers.contender import Contender, peer
from tvm_sparse.bench.peers.process import PeerProcess
from tvm_sparse.bench.peers.product import PRODUCT_ENGINES, Product
from tvm_sparse.bench.peers.record import EngineResult, PeersRecord
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import TvmSparseError
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.records.write import write_json
from tvm_sparse.report.figures import describe_disturbance
from tvm_sparse.report.peers_table import describe_engines, describe_rival, render_peers
from tvm_sparse.sparsity.patterns import fill_random

console = Console()
_SEED = 0


def make_product(
    shape: tuple[int, int], tokens: int, block_shape: tuple[int, int], sparsity: float
) -> Product:
    """Return a seeded product; block shape (0, 0) leaves the weight dense."""
    rng = np.random.default_rng(_SEED)
    # At this scale results are about one, as activations are.
    weight = (rng.standard_normal(shape) / np.sqrt(shape[1])).astype(np.float32)
    if min(block_shape) > 0:
        weight = fill_random(weight, block_shape, sparsity, rng)
    data = rng.standard_normal((tokens, shape[1])).astype(np.float32)
    return Product(weight, data, block_shape)


def own(product: Product, directory: Path, sparsity: float) -> Contender:
    """Return the contender of this package's kernel."""
    sparse = min(product.block_shape) > 0
    rows, columns = product.block_shape
    result = EngineResult(
        name="tvm_sparse",
        label=f"tvm_sparse, {f'{sparsity:.0%} {rows}x{columns}' if sparse else 'dense'}",
        threads=0,
        status="measured",
        sparsity=sparsity if sparse else None,
        block_shape=product.block_shape if sparse else None,
        version=tvm_sparse.__version__,
        reference="float64",
    )
    return Contender(
        result,
        lambda threads: PeerProcess("own_product", directory, threads),
        product.inputs,
        product.reference(),
    )


def contenders_of(
    shape: tuple[int, int],
    tokens: int,
    shares: list[float],
    block_shapes: list[tuple[int, int]],
    folder: Path,
) -> list[Contender]:
    """Return the kernels of all libraries on the products of one weight shape."""
    found = []
    dense = make_product(shape, tokens, (0, 0), 0.0)
    directory = dense.save(folder / "dense")
    found.append(own(dense, directory, 0.0))
    linear = PRODUCT_ENGINES["torch-linear"]
    found.append(peer(linear, directory, dense.inputs, dense.reference(), "float64"))
    others = [engine for engine in PRODUCT_ENGINES.values() if engine is not linear]
    for share in shares:
        for block_shape in block_shapes:
            product = make_product(shape, tokens, block_shape, share)
            text = f"{share:.0%} {block_shape[0]}x{block_shape[1]}"
            directory = product.save(folder / text.replace(" ", "-"))
            found.append(own(product, directory, share))
            for engine in others:
                other = peer(engine, directory, product.inputs, product.reference(), "float64")
                labelled = replace(
                    other.result,
                    label=f"{engine.label}, {text}",
                    sparsity=share,
                    block_shape=block_shape,
                )
                found.append(replace(other, result=labelled))
    return found


def say(text: str, share: float = 1.0) -> None:
    """Show one line of progress."""
    console.print(f"[dim]{text}[/dim]", highlight=False)


def pairs(text: str) -> list[tuple[int, int]]:
    """Return the pairs in an option such as `768x768,3072x768`."""
    parts = [part.split("x") for part in text.split(",") if part]
    return [(int(first), int(second)) for first, second in parts]


@click.command(help=__doc__)
@click.option("--shapes", default="768x768,3072x768,768x3072", show_default=True)
@click.option("--tokens", default=128, show_default=True)
@click.option("--threads", default="1", show_default=True)
@click.option("--sparsity", default=".95,.8", show_default=True)
@click.option("--block-shapes", default="1x1,4x1,16x1", show_default=True)
@click.option("--time", "time_s", default=2.0, show_default=True, help="Seconds per product.")
@click.option("--iterations", type=int, help="Exact number of iterations instead.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON record; N and K are added.")
def main(
    shapes: str,
    tokens: int,
    threads: str,
    sparsity: str,
    block_shapes: str,
    time_s: float,
    iterations: int | None,
    out: Path | None,
) -> None:
    """Run the comparison that the options ask for."""
    try:
        bench = BenchSpec(time_s=time_s, iterations=iterations, warmup_s=0.2)
        counts = [int(text) for text in threads.split(",")]
        shares = [float(text) for text in sparsity.split(",")]
        for shape in pairs(shapes):
            environment = detect_environment(max(counts))
            with temporary_directory() as folder:
                contenders = contenders_of(shape, tokens, shares, pairs(block_shapes), folder)
                results = [r for count in counts for r in compare(contenders, count, bench, quiet)]
            record = PeersRecord(
                created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                subject=f"product N={shape[0]} K={shape[1]} M={tokens}",
                spec={"bench": asdict(bench), "threads": counts, "shape": [*shape, tokens]},
                weights={"kind": "random", "source": f"seed {_SEED}"},
                results=tuple(results),
                environment=environment,
            )
            for count in counts:
                if warning := describe_disturbance(record.disturbance_at(count)):
                    console.print(warning, highlight=False, markup=False)
                console.print(render_peers(record, count))
                for line in (*describe_engines(record, count), describe_rival(record, count)):
                    console.print(line, highlight=False, markup=False)
            if out is not None:
                path = out.with_stem(f"{out.stem}-{shape[0]}x{shape[1]}")
                write_json(path, record)
                say(f"wrote {path}")
    except TvmSparseError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        raise SystemExit(error.exit_code) from None


def quiet(text: str, share: float) -> None:
    """Show nothing but the start of the measurement."""
    if text.startswith("measuring") and share >= 1:
        say(text)


if __name__ == "__main__":
    main()
