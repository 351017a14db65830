#!/usr/bin/env python3
"""Make what `scripts/bench_serve.py` measures, below a folder; what is there already is kept.

    python scripts/make_served.py FOLDER --minilm path/to/all-MiniLM-L6-v2

| directory | holds |
|---|---|
| minilm | all-MiniLM-L6-v2 at 95 % in 4x1 blocks |
| bert | BERT-base with seeded weights and the tokenizer of MiniLM, at 95 % in 16x1 blocks |
| bert-onnx | the same weights, dense, for ONNX Runtime |
| many/00 … 18 | BERT-base in other patterns of blocks |

All take any length. `bert-onnx` needs the extra `peers`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
from bench_ragged import export_onnx

from tvm_sparse.api.models import load_model
from tvm_sparse.bench.peers.checkpoint import write_checkpoint
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.runtime.metadata import FileEntry, file_sha256, load_metadata, save_metadata
from tvm_sparse.serve.backends.onnxruntime import GRAPH_FILE
from tvm_sparse.text.tokens import TOKENIZER_FILE

#: Blocks and sparsities of the many.
BLOCKS = ("16x1", "8x1", "4x1")
TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json")
MOST_TOKENS, MOST_TEXTS = 512, 32


@click.command(help=__doc__)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--minilm", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--many", default=19, show_default=True, help="How many builds of BERT-base.")
def main(folder: Path, minilm: Path, many: int) -> None:
    """Make what is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "checkpoint"
    if not checkpoint.exists():
        write_seeded(checkpoint, minilm)
    export(minilm, folder / "minilm", "4x1", "--prune", "magnitude")
    export(checkpoint, folder / "bert", "16x1", "--prune", "random")
    if not (folder / "bert-onnx").exists():
        write_onnx(checkpoint, folder / "bert", folder / "bert-onnx")
    for number in range(many):
        seed = ("--prune", "random", "--seed", str(number))
        export(checkpoint, folder / f"many/{number:02}", BLOCKS[number % len(BLOCKS)], *seed)


def write_seeded(directory: Path, tokenizer: Path) -> None:
    """Write BERT-base with seeded weights, and the tokenizer of another model of its vocabulary."""
    spec = ModelSpec(
        "bert-base", weights="random", batch=MOST_TEXTS, seq_len=MOST_TOKENS, is_open=True
    )
    with temporary_directory() as scratch:
        made = write_checkpoint(scratch / "model", load_model(spec))
        for name in TOKENIZER_FILES:
            shutil.copy(tokenizer / name, made)
        shutil.copytree(made, directory)


def export(model: Path, directory: Path, block: str, *more: str) -> None:
    """Export a build of any shape at 95 %."""
    if directory.exists():
        return
    click.echo(f"exporting {directory}")
    shape = ("--seq-len", f"1:{MOST_TOKENS}", "--batch", f"1:{MOST_TEXTS}")
    blocks = ("--sparsity", "0.95", "--block", block, *more)
    command = [sys.executable, "-m", "tvm_sparse", "export", "--model", str(model)]
    subprocess.run([*command, *shape, *blocks, "--quiet", "-o", str(directory)], check=True)


def write_onnx(checkpoint: Path, build: Path, directory: Path) -> None:
    """Write a checkpoint as a graph with open axes, and what a build of it says of its texts."""
    click.echo(f"exporting {directory}")
    with temporary_directory() as scratch:
        copied = Path(shutil.copytree(checkpoint, scratch / "checkpoint"))
        graph = export_onnx(copied)
        made = scratch / "made"
        made.mkdir()
        shutil.copy(graph, made / GRAPH_FILE)
        shutil.copy(build / TOKENIZER_FILE, made)
        files = {
            name: FileEntry(file_sha256(made / name), (made / name).stat().st_size)
            for name in (GRAPH_FILE, TOKENIZER_FILE)
        }
        known = load_metadata(build)
        save_metadata(
            made, replace(known, build="onnxruntime", decisions=(), calls=(), files=files)
        )
        shutil.copytree(made, directory)


if __name__ == "__main__":
    main()
