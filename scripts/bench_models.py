#!/usr/bin/env python3
"""Measure families of models, dense and pruned, beside ONNX Runtime, and write docs/models.md.

    python scripts/bench_models.py --work DIR --records DIR --prepare [--only NAME]...
    python scripts/bench_models.py --work DIR --records DIR [--only NAME]... [--within SECONDS]
    python scripts/bench_models.py --records docs/benchmarks/models --page docs/models.md

The first imports, compiles and exports, which may run beside anything; the second measures what is
prepared and has no record, and begins nothing after `--within`; the third writes the page. All of
them go on where they ended. What cannot be prepared is a row that says why; an environment
with another transformers may prepare it, into the same directories. Records of another machine lie
in a folder below those of the first: the page has a table for each.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
import numpy as np
from model_families import FAMILIES, NOTES

from tvm_sparse.api.builds import compile
from tvm_sparse.api.models import load_model, sparsify
from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.bench.peers.checkpoint import read_inputs, write_checkpoint
from tvm_sparse.bench.peers.compare import OWN_REFERENCE, compare, prepare_engines, run_artifact
from tvm_sparse.bench.peers.contender import own_build, peer
from tvm_sparse.bench.peers.engine import ENGINES
from tvm_sparse.bench.peers.record import EngineResult, PeersRecord, load_peers_record
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import BuildError, TvmSparseError
from tvm_sparse.ir.flops import product_flops
from tvm_sparse.model.facts import input_words
from tvm_sparse.model.model import Model
from tvm_sparse.passes.pipeline import pack
from tvm_sparse.progress import silent
from tvm_sparse.records.write import write_json
from tvm_sparse.report.figures import figure, spread_of
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.target import resolve_target
from tvm_sparse.words import counted

_SPARSITY = SparsitySpec(sparsity=0.95, block_shape=(4, 1))
_ENGINE = ENGINES["onnxruntime"]
#: In the directory of a prepared model.
_BUILDS, _OUTPUTS, _CHECKPOINT = "builds.json", "outputs.npz", "checkpoint"
#: Of a checkpoint, once the graph that ONNX Runtime opens is made of them.
_NEEDLESS = ("model.safetensors", "model.onnx*")
_PAGE = """\
# Models

Written by `scripts/bench_models.py` from its [records](benchmarks/models): an example of each
family at its real size, with seeded weights, of which 95 % of those of the encoder's layers are
zero in blocks of 4x1. The dense build and ONNX Runtime multiply them as if they were not. All had
the same weights and inputs, gave the same outputs, and took turns in one run; times are medians in
milliseconds, with no more digits than the medians of rounds allow. There is a table for each
machine, the first two cores of a Zen 4, the second two of a Zen 5; times and ratios of different
ones do not compare.

*Coverage* is the share of the floating-point operations of all products (dense layers, attention,
convolutions) that runs in kernels on token tiles; the rest is what TVM generates. ONNX Runtime
computes in float32 as well. Its graph went through its transformer optimiser, and through all
optimisations of a session as it was loaded; the optimiser fuses *its attention* where it knows the
form that PyTorch exports. *Gain* is the time of our dense build over that of our pruned one.

"""
_COLUMNS = (
    *("family", "example", "importer", "input", "coverage", "threads", "dense", "95 % 4x1"),
    *("gain", "ONNX Runtime", "its attention", "dense over it", "95 % over it"),
)


@dataclass(frozen=True)
class Facts:
    """What is known of a model without measuring, kept beside its records.

    Attributes
    ----------
    family, example : str
        As the table calls them.
    importer, taken : str
        The framework that it came through, and its input in words.
    covered : float
        Share of the FLOPs of products that runs on token tiles.
    sparsity : float
        Share of zero blocks in the layers of the sparse build that run sparse.
    refused : str
        Why it could not be prepared; then nothing else is known.
    """

    family: str
    example: str
    importer: str = ""
    taken: str = ""
    covered: float = 0.0
    sparsity: float = 0.0
    refused: str = ""


@click.command(help=__doc__)
@click.option("--records", type=click.Path(path_type=Path), required=True)
@click.option("--work", type=click.Path(path_type=Path), help="What is prepared lies here.")
@click.option("--only", multiple=True, metavar="NAME", help="Families, presets or directories.")
@click.option("--prepare", is_flag=True, help="Make builds and graphs, and measure nothing.")
@click.option("--within", type=float, help="Seconds after which nothing is begun.")
@click.option("--threads", default="1", show_default=True, help="Numbers of threads, e.g. 1,2.")
@click.option("--batch", default=1, show_default=True)
@click.option("--seq-len", default=128, show_default=True)
@click.option("--layers", type=int, help="Only so many encoder layers.")
@click.option("--time", "time_s", default=10.0, show_default=True, help="Seconds per engine.")
@click.option("--iterations", type=int, help="Exact number of iterations instead.")
@click.option("--warmup", default=1.0, show_default=True, help="Seconds per engine before.")
@click.option("--importer", default="auto", show_default=True)
@click.option("--cache-dir", help="Cache of imported models and builds.")
@click.option("--page", type=click.Path(path_type=Path), help="Markdown page to write.")
def main(
    records: Path,
    work: Path | None,
    only: tuple[str, ...],
    prepare: bool,
    within: float | None,
    threads: str,
    time_s: float,
    iterations: int | None,
    warmup: float,
    cache_dir: str | None,
    page: Path | None,
    layers: int | None,
    **shape: Any,
) -> None:
    """Prepare, or measure what has no record, then write the page."""
    if prepare and work is None:
        raise click.UsageError("--prepare needs --work, where to")
    records.mkdir(parents=True, exist_ok=True)
    start, counts = time.monotonic(), [int(count) for count in threads.split(",")]
    bench = BenchSpec(time_s=time_s, iterations=iterations, warmup_s=warmup)
    for family in (only or FAMILIES) if work is not None else ():
        assert work is not None
        stem, place = _stem(family), work / _stem(family)
        facts, is_prepared = records / f"{stem}.facts.json", (place / _BUILDS).exists()
        if prepare and not is_prepared:
            try:
                spec = ModelSpec(_model(family, place), num_layers=layers, **shape)
                known, builds = _prepare(family, spec, place, max(counts), cache_dir)
            except TvmSparseError as error:
                known, builds = Facts(family, _example(family), refused=str(error)), {}
            write_json(facts, known)
            if builds:
                write_json(place / _BUILDS, builds)
            click.echo(f"{family}: {known.refused or 'prepared'}")
        for count in () if prepare or not is_prepared else counts:
            is_late = within is not None and time.monotonic() - start > within
            out = records / f"{stem}-{count}.json"
            if not out.exists() and not is_late:
                _measure(place, _read_facts(facts), count, bench, out)
    if page is not None:
        page.write_text(_PAGE + _tables(records), encoding="utf-8")
        click.echo(f"wrote {page}")


def _example(family: str) -> str:
    """Return the hub id or the preset of a family, or what is no family as it is."""
    known = FAMILIES.get(family, family)
    return known if isinstance(known, str) else known[0]


def _stem(family: str) -> str:
    return Path(_example(family)).stem.lower()


def _model(family: str, place: Path) -> str:
    """Return what `ModelSpec` takes for a family; a directory with its config is written."""
    known = FAMILIES.get(family, family)
    if isinstance(known, str):
        return known
    _, config = known
    directory = place / "config" / _stem(family)
    write_json(directory / "config.json", config)
    return str(directory)


def _prepare(
    family: str, spec: ModelSpec, place: Path, threads: int, cache_dir: str | None
) -> tuple[Facts, dict[str, str]]:
    """Import and compile a model, and write what ONNX Runtime opens and all have to compute.

    Returns what is known of it, and the directories of its builds.
    """
    model = load_model(spec, cache_dir=cache_dir, progress=silent)
    pruned = sparsify(model, _SPARSITY)
    builds = compile(pruned, CompileSpec(threads=threads), progress=silent).directories
    checkpoint = write_checkpoint(place / _CHECKPOINT, pruned)
    outputs = run_artifact(builds["dense"], model.reference.inputs)
    np.savez(place / _OUTPUTS, **outputs)  # type: ignore[arg-type]
    config = model.facts.config
    facts = Facts(
        family,
        _example(family),
        model.reference.framework,
        input_words(config, spec.batch, spec.seq_len),
        _covered(model),
        load_metadata(builds["sparse"]).block_sparsity,
    )
    # Their memory is wanted: what exports a graph holds several copies of its weights.
    del model, pruned
    failure = prepare_engines([_ENGINE], checkpoint, silent)
    if failure:
        raise BuildError(f"{_ENGINE.label} cannot run it: {failure}")
    for path in (path for name in _NEEDLESS for path in checkpoint.glob(name)):
        path.unlink()
    return facts, {name: str(directory) for name, directory in builds.items()}


def _covered(model: Model) -> float:
    """Return the share of FLOPs on token tiles: what is left in Relax is not there."""
    tiled, _, _ = pack(model.mod, model.params, resolve_target())
    return 1 - product_flops(tiled) / model.flops


def _read_facts(path: Path) -> Facts:
    return Facts(**json.loads(path.read_text(encoding="utf-8")))


def _measure(place: Path, facts: Facts, threads: int, bench: BenchSpec, out: Path) -> None:
    directories = json.loads((place / _BUILDS).read_text(encoding="utf-8"))
    inputs = read_inputs(place / _CHECKPOINT)
    with np.load(place / _OUTPUTS, allow_pickle=False) as arrays:
        outputs = {name: arrays[name] for name in arrays.files}
    known = (inputs, outputs, OWN_REFERENCE)
    contenders = [
        own_build(Path(directories["dense"]), *known),
        own_build(Path(directories["sparse"]), *known, facts.sparsity, _SPARSITY.block_shape),
        peer(_ENGINE, place / _CHECKPOINT, *known),
    ]
    results = compare(contenders, threads, bench, silent)
    weights = load_metadata(Path(directories["sparse"])).weights
    record = PeersRecord(
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        subject=facts.example,
        spec={"facts": asdict(facts), "bench": asdict(bench), "threads": [threads]},
        # Why they are random is of where they were prepared: a folder, or a hub out of reach.
        weights=replace(weights, source="", detail=weights.detail.partition(":")[0]),
        results=tuple(results),
        environment=detect_environment(threads),
    )
    write_json(out, record)
    for result in results:
        click.echo(
            f"{facts.family}, {counted(threads, 'thread')}: {result.label}: {_median(result)}"
        )


def _tables(records: Path) -> str:
    """Return a table for each machine, then why models were refused, and who is not measured."""
    known = {path.name.removesuffix(".facts.json"): path for path in records.glob("*.facts.json")}
    stems = {_stem(family): family for family in FAMILIES}
    tables: dict[str, list[str]] = {}
    told, missing = [], []
    for stem in [*stems, *sorted(known.keys() - stems.keys())]:
        family = stems.get(stem, stem)
        facts = _read_facts(known[stem]) if stem in known else Facts(family, _example(family))
        measured = _records(records, stem)
        for record in measured:
            tables.setdefault(_machine(record), []).append(_row(facts, record))
        if measured:
            told += [f"- {family}: {NOTES[family]}\n"] if family in NOTES else []
        elif facts.refused:
            told.append(f"- {family}: not built: {facts.refused}\n")
        else:
            missing.append(family)
    head = _line(_COLUMNS), _line(["---"] * len(_COLUMNS))
    parts = ["\n".join([f"Measured on {m}.\n", *head, *rows, ""]) for m, rows in tables.items()]
    parts += ["".join(told)] * bool(told)
    parts += [f"Not measured yet: {', '.join(missing)}.\n"] * bool(missing)
    return "\n".join(parts)


def _records(directory: Path, stem: str) -> list[PeersRecord]:
    """Return the records of a model on all machines; their files end in numbers of threads."""
    paths = sorted(directory.rglob(f"{stem}-*.json"))
    return [load_peers_record(p) for p in paths if p.stem.rpartition("-")[2].isdigit()]


def _row(facts: Facts, record: PeersRecord) -> str:
    dense, sparse, other = record.results
    return _line(
        [
            *(facts.family, facts.example, facts.importer, facts.taken, f"{facts.covered:.0%}"),
            *(str(record.spec["threads"][0]), _median(dense), _median(sparse)),
            *(_ratio(dense, sparse), _median(other), _attention(other)),
            *(_ratio(other, dense), _ratio(other, sparse)),
        ]
    )


def _attention(other: EngineResult) -> str:
    """Say whether the other engine's graph has attention as one operator."""
    if "attention" not in other.facts:
        return "fused"
    return str(other.facts["attention"]) if "Softmax" in other.facts["operators"] else "none"


def _machine(record: PeersRecord) -> str:
    """Say where a record was measured, and with what beside our builds."""
    place, version = record.environment, record.results[-1].version
    return f"{place.cpu_model}, {place.isa}, {_ENGINE.label} {version}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _median(result: EngineResult) -> str:
    if result.latency_ms is None:
        return f"{result.status} ({result.detail})" if result.detail else result.status
    latency = result.latency_ms
    busy = result.disturbance is not None and result.disturbance.is_high
    return figure(latency.median, spread_of(latency.round_median)) + " (busy)" * busy


def _ratio(slow: EngineResult, fast: EngineResult) -> str:
    if slow.latency_ms is None or fast.latency_ms is None:
        return ""
    return f"{slow.latency_ms.median / fast.latency_ms.median:.2f}x"


if __name__ == "__main__":
    main()
