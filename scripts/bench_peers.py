#!/usr/bin/env python3
"""Measure this package beside other engines: same weights, inputs and threads, in one run.

    python scripts/bench_peers.py --model bert-base --threads 1,2 --out docs/benchmarks/NAME.json

Engines that are not installed (extra `peers`) are rows that say so.
"""

from __future__ import annotations

import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from tvm_sparse import api
from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.bench.peers.checkpoint import write_checkpoint
from tvm_sparse.bench.peers.compare import compare, prepare_engines, run_once
from tvm_sparse.bench.peers.contender import Contender, own_build, peer
from tvm_sparse.bench.peers.engine import ENGINES, Engine, find_engines
from tvm_sparse.bench.peers.record import PeersRecord
from tvm_sparse.bench.peers.record_file import save_peers_record
from tvm_sparse.config import BenchSpec, ModelSpec, SparsitySpec
from tvm_sparse.errors import TvmSparseError
from tvm_sparse.report.peers_table import describe_engines, describe_rival, render_peers
from tvm_sparse.runtime.metadata import load_metadata

# PyTorch computes what a sparse build is compared with: another engine on the same weights.
_REFERENCE_ENGINE = "torch"

console = Console()


def sparse_contender(model: api.Model, spec: SparsitySpec, folder: Path) -> Contender:
    """Prune, compile and return a sparse build with what it has to compute."""
    pruned = api.sparsify(model, spec)
    builds = api.compile(pruned, builds=("sparse",), progress=say)
    engine = ENGINES[_REFERENCE_ENGINE]
    if engine.missing():
        say(f"{engine.label} is not installed: comparing with the dense build instead")
        both = api.compile(pruned, builds=("dense", "sparse"), progress=say)
        with_name = ("tvm_sparse dense", run_artifact(both.directories["dense"], model.inputs))
    else:
        with tempfile.TemporaryDirectory(dir=folder) as directory:
            write_checkpoint(Path(directory), model.facts, pruned.params, model.inputs)
            with_name = (engine.label, run_once(engine, Path(directory), model.inputs))
    reference_name, reference = with_name
    return own_build(
        builds.directories["sparse"],
        model.inputs,
        {name: reference[name] for name in model.outputs},
        reference_name,
        block_sparsity(builds.directories["sparse"]),
        spec.block_shape,
    )


def block_sparsity(artifact: Path) -> float:
    """Return the share of zero blocks over the layers that run sparse, 0 when none does.

    A model that comes pruned keeps its own zeros, whatever sparsity was asked for.
    """
    sparse = [d for d in load_metadata(artifact).decisions if d["action"] == "sparse"]
    sizes = [d["shape"][0] * d["shape"][1] for d in sparse]
    zeros = sum(d["block_sparsity"] * size for d, size in zip(sparse, sizes, strict=True))
    return round(zeros / sum(sizes), 4) if sizes else 0.0


def run_artifact(directory: Path, inputs: Any) -> dict[str, Any]:
    """Return an artifact's outputs, computed in a process of its own."""
    from tvm_sparse.bench.worker_process import WorkerProcess

    with WorkerProcess(directory, 1) as worker:
        worker.bind(inputs)
        return worker.run()


def contenders_of(
    model: api.Model, engines: list[Engine], specs: list[SparsitySpec], folder: Path
) -> list[Contender]:
    """Return every build and engine, compiled and prepared."""
    source = "TensorFlow"  # the reference outputs of an imported model are TensorFlow's
    dense = api.compile(model, builds=("dense",), progress=say)
    found = [own_build(dense.directories["dense"], model.inputs, model.outputs, source)]
    for spec in specs:
        contender = sparse_contender(model, spec, folder)
        # The same build again when the zeros are the model's own.
        if contender.result.label not in {other.result.label for other in found}:
            found.append(contender)
    checkpoint = write_checkpoint(folder / "dense", model.facts, model.params, model.inputs)
    failure = prepare_engines(engines, checkpoint, lambda text, _share: say(text))
    if failure:
        say(f"preparing the other engines failed: {failure}")
    found += [peer(engine, checkpoint, model.inputs, model.outputs, source) for engine in engines]
    return found


def without_paths(weights: dict[str, Any]) -> dict[str, Any]:
    """Return what tells which weights were used, but not where they lay."""
    return {key: weights[key] for key in ("kind", "fingerprint")}


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
@click.option("--engines", default=",".join(ENGINES), show_default=True)
@click.option("--time", "time_s", default=10.0, show_default=True, help="Seconds per engine.")
@click.option("--iterations", type=int, help="Exact number of iterations instead.")
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
    engines: str,
    time_s: float,
    iterations: int | None,
    cache_dir: str | None,
    out: Path | None,
) -> None:
    """Run the comparison that the options ask for."""
    try:
        bench = BenchSpec(time_s=time_s, iterations=iterations)
        model_spec = ModelSpec(model, batch=batch, seq_len=seq_len)
        shapes = [tuple(map(int, text.split("x"))) for text in split(block_shapes)]
        specs = [
            SparsitySpec(sparsity=float(share), block_shape=shape)  # type: ignore[arg-type]
            for share in split(sparsity)
            for shape in shapes
        ]
        counts = [int(text) for text in split(threads)]
        chosen = find_engines(split(engines))
        environment = detect_environment(max(counts))
        loaded = api.load_model(model_spec, cache_dir=cache_dir, progress=say)
        with tempfile.TemporaryDirectory(prefix="tvm_sparse-peers-") as folder:
            contenders = contenders_of(loaded, chosen, specs, Path(folder))
            results = [
                result
                for count in counts
                for result in compare(contenders, count, bench, show_share)
            ]
        record = PeersRecord(
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            subject=label or loaded.facts["model"]["name"],
            spec={
                "model": {**model_spec.to_json(), "model": label or model},
                "bench": bench.to_json(),
                "threads": counts,
            },
            weights=without_paths(loaded.facts["weights"]) if label else loaded.facts["weights"],
            results=tuple(results),
            environment=environment,
        )
        for count in record.threads:
            console.print(render_peers(record, count))
            for line in (*describe_engines(record, count), describe_rival(record, count)):
                console.print(line, highlight=False, markup=False)
        if out is not None:
            write(record, out)
    except TvmSparseError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        raise SystemExit(error.exit_code) from None


def show_share(text: str, share: float) -> None:
    """Show progress of a measurement, one line per step and none per round."""
    if not text.startswith("measuring") or share >= 1:
        say(text)


def write(record: PeersRecord, out: Path) -> None:
    """Write the record and, where matplotlib is installed, its chart."""
    from tvm_sparse.errors import DependencyError
    from tvm_sparse.report.plots import save_peers_chart

    save_peers_record(record, out)
    say(f"wrote {out}")
    try:
        save_peers_chart(record, out.with_suffix(".png"))
        say(f"wrote {out.with_suffix('.png')}")
    except DependencyError as error:
        say(f"no chart: {error}")


if __name__ == "__main__":
    main()
