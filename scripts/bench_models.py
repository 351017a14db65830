#!/usr/bin/env python3
"""Measure families of models, dense and pruned, beside ONNX Runtime, and write docs/models.md.

    python scripts/bench_models.py --records DIR [--only NAME]... [--page docs/models.md]

A record a family and number of threads, each of one interleaved run; those that are there are kept,
so that a run which was ended goes on. `--page` writes the page from all records, and measures
nothing if `--records` has them all. A family that cannot be measured is a line that says why.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tvm_sparse.api.comparison import compare_model
from tvm_sparse.api.models import load_model
from tvm_sparse.bench.peers.record import EngineResult, PeersRecord, load_peers_record
from tvm_sparse.config import BenchSpec, ModelSpec, SparsitySpec
from tvm_sparse.errors import TvmSparseError
from tvm_sparse.ir.flops import product_flops
from tvm_sparse.model.facts import input_words
from tvm_sparse.model.model import Model
from tvm_sparse.passes.pipeline import pack
from tvm_sparse.records.write import write_json
from tvm_sparse.report.figures import figure, spread_of
from tvm_sparse.target import resolve_target
from tvm_sparse.words import counted

_SPARSITY = SparsitySpec(sparsity=0.95, block_shape=(4, 1))
_ENGINE = "onnxruntime"
#: What is measured unless `--only` says otherwise: presets, each of another family.
FAMILIES = (
    *("bert-base", "distilbert", "roberta-base", "xlm-r-base", "electra-small", "albert-base"),
    *("mobilebert", "mpnet-base", "deberta-v3-base", "modernbert-base", "nomic-embed"),
    *("bge-small", "e5-small", "qwen3-embedding", "vit-base"),
)
_PAGE = """\
# Models

Written by `scripts/bench_models.py` from its records: presets with seeded weights, dense, and with
95 % of the weights of their encoder layers zero in blocks of 4x1, chosen by magnitude. Engines had
the same weights and inputs and took turns in one run; times are medians in milliseconds. *Coverage*
is the share of the floating-point operations of all products (dense layers, attention,
convolutions) that runs in kernels on token tiles.

"""
_COLUMNS = (
    *("model", "importer", "input", "threads", "coverage", "dense", "95 % 4x1", "gain"),
    *("ONNX Runtime", "dense over it"),
)


@dataclass(frozen=True)
class Coverage:
    """What a model's import says of it, kept beside its records."""

    importer: str
    covered: float
    taken: str


@click.command(help=__doc__)
@click.option("--records", type=click.Path(path_type=Path), required=True)
@click.option("--only", multiple=True, metavar="MODEL", help="Presets, directories or archives.")
@click.option("--threads", default="1", show_default=True, help="Numbers of threads, e.g. 1,2.")
@click.option("--batch", default=1, show_default=True)
@click.option("--seq-len", default=128, show_default=True)
@click.option("--layers", type=int, help="Only so many encoder layers.")
@click.option("--time", "time_s", default=10.0, show_default=True, help="Seconds per engine.")
@click.option("--iterations", type=int, help="Exact number of iterations instead.")
@click.option("--importer", default="auto", show_default=True)
@click.option("--cache-dir", help="Cache of imported models and builds.")
@click.option("--page", type=click.Path(path_type=Path), help="Markdown page to write.")
def main(
    records: Path,
    only: tuple[str, ...],
    threads: str,
    batch: int,
    seq_len: int,
    layers: int | None,
    time_s: float,
    iterations: int | None,
    importer: str,
    cache_dir: str | None,
    page: Path | None,
) -> None:
    """Measure what has no record, then write the page."""
    records.mkdir(parents=True, exist_ok=True)
    bench = BenchSpec(time_s=time_s, iterations=iterations)
    for name in only or FAMILIES:
        shape = {"batch": batch, "seq_len": seq_len}
        spec = ModelSpec(name, num_layers=layers, importer=importer, **shape)  # type: ignore[arg-type]
        for count in map(int, threads.split(",")):
            _measure(spec, count, bench, records, cache_dir)
    if page is not None:
        rows = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS)), *_rows(records)]
        page.write_text(_PAGE + "\n".join(rows) + "\n", encoding="utf-8")
        click.echo(f"wrote {page}")


def _measure(
    spec: ModelSpec, threads: int, bench: BenchSpec, records: Path, cache_dir: str | None
) -> None:
    stem = Path(spec.model).stem.replace("/", "--")
    out, facts = records / f"{stem}-{threads}.json", records / f"{stem}.facts.json"
    if out.exists() or (records / f"{stem}.refused").exists():
        click.echo(f"{spec.model}, {counted(threads, 'thread')}: measured before")
        return
    try:
        model = load_model(spec, cache_dir=cache_dir, progress=lambda line: None)
        if not facts.exists():
            write_json(facts, _coverage(model))
        record = compare_model(model, [_SPARSITY], [_ENGINE], threads=[threads], bench=bench)
    except TvmSparseError as error:
        (records / f"{stem}.refused").write_text(f"{error}\n", encoding="utf-8")
        click.echo(f"{spec.model}: {error}")
        return
    write_json(out, record)
    for result in record.results:
        click.echo(f"{spec.model}, {counted(threads, 'thread')}: {result.label}: {_median(result)}")


def _coverage(model: Model) -> Coverage:
    """Return how much of a model runs on token tiles: what is left in Relax does not."""
    tiled, _, _ = pack(model.mod, model.params, resolve_target())
    covered = 1 - product_flops(tiled) / model.flops
    config, spec = model.facts.config, model.spec
    taken = input_words(config, spec.batch, spec.seq_len)
    return Coverage(model.reference.framework, covered, taken)


def _rows(records: Path) -> list[str]:
    rows = []
    for path in sorted(records.glob("*-[0-9]*.json")):
        stem = path.stem.rpartition("-")[0]
        facts = json.loads((records / f"{stem}.facts.json").read_text(encoding="utf-8"))
        rows.append(_row(load_peers_record(path), facts))
    for path in sorted(records.glob("*.refused")):
        reason = path.read_text(encoding="utf-8").strip().replace("|", "/")
        rows.append(_line([path.stem, reason, *[""] * (len(_COLUMNS) - 2)]))
    return rows


def _row(record: PeersRecord, facts: dict[str, Any]) -> str:
    dense, sparse, other = record.results
    return _line(
        [
            *(record.subject, facts["importer"], facts["taken"], str(record.threads[0])),
            f"{facts['covered']:.0%}",
            *(_median(dense), _median(sparse), _ratio(dense, sparse)),
            *(_median(other), _ratio(other, dense)),
        ]
    )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _median(result: EngineResult) -> str:
    if result.latency_ms is None:
        return f"{result.status} ({result.detail})" if result.detail else result.status
    latency = result.latency_ms
    return figure(latency.median, spread_of(latency.round_median))


def _ratio(slow: EngineResult, fast: EngineResult) -> str:
    if slow.latency_ms is None or fast.latency_ms is None:
        return ""
    return f"{slow.latency_ms.median / fast.latency_ms.median:.2f}x"


if __name__ == "__main__":
    main()
