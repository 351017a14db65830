#!/usr/bin/env python3
"""Measure a batch of texts of many lengths: our build of any length beside ONNX Runtime.

    python scripts/bench_ragged.py --model bert-base --threads 1,2

Lengths are those of paragraphs of this project's documentation. Ours takes the batch ragged. ONNX
Runtime takes it padded to its longest text, and sorted by length in parts of 1, 2, 4, ... texts
that are padded by themselves; the fastest of these counts. Both have the same weights and take
turns, each in a process of its own. Needs the extra `peers`.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click
import numpy as np

from tvm_sparse.api.builds import compile
from tvm_sparse.api.models import load_model
from tvm_sparse.bench.peers.checkpoint import write_checkpoint
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import TvmSparseError
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.runtime.artifact import load

_DOCS = Path(__file__).parents[1] / "docs"
_TOKENS_PER_WORD = 4 / 3
_SHORTEST, _LONGEST = 5, 300
_PART_SIZES = (1, 2, 4, 8, 16, 32)


def text_lengths(count: int) -> list[int]:
    """Return the tokens of so many paragraphs of the documentation, about."""
    paragraphs = [
        len(paragraph.split())
        for page in sorted(_DOCS.glob("**/*.md"))
        for paragraph in re.split(r"\n\s*\n", page.read_text(encoding="utf-8"))
    ]
    tokens = np.array(paragraphs) * _TOKENS_PER_WORD
    tokens = tokens[(tokens >= _SHORTEST) & (tokens <= _LONGEST)].astype(int)
    return [int(n) for n in np.random.default_rng(0).choice(tokens, count, replace=False)]


def serve_ours(artifact: str, texts: list[Any], threads: int, pipe: Connection) -> None:
    """Time runs of the ragged batch, whenever asked."""
    model = load(artifact, threads)
    _answer(pipe, {"ragged": lambda: model.run_ragged(texts)})


def serve_onnxruntime(graph: str, texts: list[Any], threads: int, pipe: Connection) -> None:
    """Time runs of the padded batch in each number of parts, whenever asked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    ordered = sorted(texts, key=len)

    def run(parts: list[dict[str, Any]]) -> None:
        for part in parts:
            session.run(None, part)

    def padded(size: int) -> Callable[[], None]:
        parts = []
        for start in range(0, len(ordered), size):
            group = ordered[start : start + size]
            ids = np.zeros((len(group), max(map(len, group))), np.int64)
            mask = np.zeros_like(ids)
            for row, text in enumerate(group):
                ids[row, : len(text)], mask[row, : len(text)] = text, 1
            values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}
            parts.append({name: values[name] for name in names})
        return lambda: run(parts)

    sizes = [size for size in _PART_SIZES if size <= len(texts)]
    _answer(pipe, {f"parts of {size}": padded(size) for size in sizes})


def _answer(pipe: Connection, runs: dict[str, Callable[[], Any]]) -> None:
    for run in runs.values():
        run()
    pipe.send(list(runs))
    while (name := pipe.recv()) is not None:
        start = time.perf_counter()
        runs[name]()
        pipe.send(time.perf_counter() - start)


def export_onnx(checkpoint: Path) -> Path:
    """Export a checkpoint with open axes and fuse it as ONNX Runtime's optimiser does."""
    os.environ["USE_TF"] = "0"
    import torch
    from onnxruntime.transformers import optimizer

    from tvm_sparse.bench.peers.torch import load_model as load_torch

    model = load_torch(checkpoint, attention="eager")
    names = ("input_ids", "attention_mask", "token_type_ids")

    class Positional(torch.nn.Module):  # type: ignore[misc]  # torch is untyped here
        """The model with positional inputs, which the exporter names."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            return self.model(**dict(zip(names, values, strict=True)), return_dict=False)[:2]

    ids = torch.ones((2, 8), dtype=torch.int64)
    torch.onnx.export(
        Positional(),
        (ids, ids, ids * 0),
        str(checkpoint / "open.onnx"),
        input_names=list(names),
        output_names=["last_hidden_state", "pooler_output"],
        dynamic_axes={name: {0: "batch", 1: "seq_len"} for name in names},
        opset_version=17,
        dynamo=False,
    )
    config = model.config
    fused = optimizer.optimize_model(
        str(checkpoint / "open.onnx"),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
        opt_level=0,
    )
    fused.save_model_to_file(str(checkpoint / "fused.onnx"))
    return checkpoint / "fused.onnx"


def measure(sides: dict[str, tuple[Any, ...]], seconds: float) -> dict[str, float]:
    """Return the median seconds of every way, all of them in turns."""
    context = multiprocessing.get_context("spawn")
    pipes, children, ways = {}, [], []
    for label, (target, *arguments) in sides.items():
        pipes[label], theirs = context.Pipe()
        child = context.Process(target=target, args=(*arguments, theirs), daemon=True)
        child.start()
        children.append(child)
        ways += [(label, name) for name in pipes[label].recv()]
    taken: dict[tuple[str, str], list[float]] = {way: [] for way in ways}
    stop = time.monotonic() + seconds
    for round_ in itertools.count():
        if time.monotonic() > stop and round_ >= 5:
            break
        for label, name in ways if round_ % 2 else ways[::-1]:
            pipes[label].send(name)
            taken[label, name].append(pipes[label].recv())
    for pipe in pipes.values():
        pipe.send(None)
    for child in children:
        child.join()
    return {f"{label}, {name}": float(np.median(taken[label, name])) for label, name in ways}


@click.command(help=__doc__)
@click.option("--model", default="bert-base", show_default=True)
@click.option("--texts", "count", default=32, show_default=True)
@click.option("--threads", default="1,2", show_default=True)
@click.option("--time", "time_s", default=40.0, show_default=True, help="Seconds per threads.")
@click.option("--cache-dir", help="Cache of imported models and builds.")
def main(model: str, count: int, threads: str, time_s: float, cache_dir: str | None) -> None:
    """Measure and print tokens per second."""
    lengths = text_lengths(count)
    total = sum(lengths)
    click.echo(f"{count} texts of {min(lengths)} to {max(lengths)} tokens, {total} in all")
    try:
        spec = ModelSpec(model, weights="random", batch=count, seq_len=_LONGEST, is_open=True)
        imported = load_model(spec, cache_dir=cache_dir)
        artifact = compile(imported, builds=("dense",)).directories["dense"]
        rows = imported.facts.inputs[0].below or 1000
        rng = np.random.default_rng(1)
        texts = [rng.integers(1, rows, length) for length in lengths]
        with temporary_directory() as folder:
            graph = export_onnx(write_checkpoint(folder / "model", imported))
            for number in map(int, threads.split(",")):
                found = measure(
                    {
                        "tvm_sparse dense": (serve_ours, str(artifact), texts, number),
                        "ONNX Runtime": (serve_onnxruntime, str(graph), texts, number),
                    },
                    time_s,
                )
                ours = next(iter(found.values()))
                for way, taken in found.items():
                    click.echo(
                        f"{number} thr  {way:28} {total / taken:8.0f} tokens/s  "
                        f"{taken / ours:.2f}x our time"
                    )
    except TvmSparseError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
