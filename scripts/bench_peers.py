#!/usr/bin/env python3
"""Measure this package beside other engines: same weights, inputs and threads, in one run.

    python scripts/bench_peers.py --model bert-base --threads 1,2 --out docs/benchmarks/NAME.json
    python scripts/bench_peers.py --quantize int8,int8-fast --target x86-64-v3

Engines that are not installed (extra `peers`) are rows that say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from tvm_sparse.api.comparison import compare_model, renamed
from tvm_sparse.api.models import load_model
from tvm_sparse.bench.peers.engine import ENGINES, find_engines
from tvm_sparse.bench.peers.record import PeersRecord
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import DependencyError, TvmSparseError
from tvm_sparse.formats.builds import BuildSpec, build_of
from tvm_sparse.records.write import write_json
from tvm_sparse.report.charts.peers import peers_chart, peers_title
from tvm_sparse.report.charts.render import save_chart
from tvm_sparse.report.figures import describe_disturbance
from tvm_sparse.report.peers_table import describe_engines, describe_rival, render_peers
from tvm_sparse.sizes import parse_block_shapes

console = Console()


def say(text: str) -> None:
    """Show one line of progress."""
    console.print(f"[dim]{text}[/dim]", highlight=False)


def split(text: str) -> list[str]:
    """Return the non-empty parts of a comma-separated option."""
    return [part.strip() for part in text.split(",") if part.strip()]


@click.command(help=__doc__)
@click.option("--model", default="bert-base", show_default=True)
@click.option("--label", help="What a record calls a model that is a directory.")
@click.option("--batch", default=1, show_default=True)
@click.option("--seq-len", default=128, show_default=True)
@click.option("--threads", default="1", show_default=True, help="Numbers of threads, e.g. 1,2.")
@click.option("--sparsity", default=".95,.9,.8", show_default=True, help="Block sparsities.")
@click.option("--block-shapes", default="1x1,4x1,16x1", show_default=True)
@click.option("--quantize", default="", help="Schemes of 8 bits to add: int8, int8-fast.")
@click.option(
    "--int8-block-shapes",
    default="4x4,1x4",
    show_default=True,
    help="Blocks of the first scheme's sparse builds.",
)
@click.option("--target", default="native", show_default=True, help="Of our builds.")
@click.option("--engines", default=",".join(ENGINES), show_default=True)
@click.option("--time", "time_s", default=10.0, show_default=True, help="Seconds per engine.")
@click.option("--iterations", type=int, help="Exact number of iterations instead.")
@click.option("--warmup", default=1.0, show_default=True, help="Seconds per engine before.")
@click.option("--cache-dir", help="Cache of imported models and builds.")
@click.option("--out", type=click.Path(path_type=Path), help="JSON record; a PNG goes beside it.")
def main(
    model: str,
    label: str | None,
    batch: int,
    seq_len: int,
    threads: str,
    sparsity: str,
    block_shapes: str,
    quantize: str,
    int8_block_shapes: str,
    target: str,
    engines: str,
    time_s: float,
    iterations: int | None,
    warmup: float,
    cache_dir: str | None,
    out: Path | None,
) -> None:
    """Run the comparison that the options ask for."""
    try:
        bench = BenchSpec(time_s=time_s, iterations=iterations, warmup_s=warmup)
        model_spec = ModelSpec(model, batch=batch, seq_len=seq_len)
        shares, schemes = split(sparsity), split(quantize)
        builds = [
            *(build for shape in split(block_shapes) for build in pruned(shares, shape)),
            *((build_of(False, scheme), None) for scheme in schemes),
        ]
        for shape in split(int8_block_shapes) if schemes else []:
            builds += pruned(shares, shape, schemes[0])
        counts = [int(text) for text in split(threads)]
        find_engines(split(engines))  # a wrong name is told before anything is done
        loaded = load_model(model_spec, cache_dir=cache_dir, progress=say)
        record = compare_model(
            *(loaded, builds, split(engines)),
            target=target,
            threads=counts,
            bench=bench,
            progress=show_share,
        )
        record = record if label is None else renamed(record, label)
        for count in record.threads:
            if warning := describe_disturbance(record.disturbance_at(count)):
                console.print(warning, highlight=False, markup=False)
            console.print(render_peers(record, count))
            for line in (*describe_engines(record, count), describe_rival(record, count)):
                console.print(line, highlight=False, markup=False)
        if out is not None:
            write(record, out)
    except TvmSparseError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        raise SystemExit(error.exit_code) from None


def pruned(
    shares: list[str], shape: str, scheme: str = ""
) -> Iterator[tuple[BuildSpec, SparsitySpec | None]]:
    """Yield the builds of some sparsities in blocks of a shape, rounded as a scheme says."""
    (blocks,) = parse_block_shapes(shape)
    for share in shares:
        yield build_of(True, scheme), SparsitySpec(sparsity=float(share), block_shape=blocks)


def show_share(text: str, share: float) -> None:
    """Show progress of a measurement, one line per step and none per round."""
    if not text.startswith("measuring") or share >= 1:
        say(text)


def write(record: PeersRecord, out: Path) -> None:
    """Write the record and, where the extra `report` is installed, its chart."""
    write_json(out, record)
    say(f"wrote {out}")
    try:
        save_chart(peers_chart(record), out.with_suffix(".png"), peers_title(record))
        say(f"wrote {out.with_suffix('.png')}")
    except DependencyError as error:
        say(f"no chart: {error}")


if __name__ == "__main__":
    main()
