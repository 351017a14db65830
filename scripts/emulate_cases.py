"""The builds that emulators run, and what they must compute."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import click

import tvm_sparse

#: Sparsity of the layers: enough for several panels and chunks of the smaller one.
SPARSITY = 0.9


@dataclass(frozen=True)
class Case:
    """One build: `width` hidden units, and the block of its sparse weights, None for dense."""

    width: int
    seq_len: int
    block_shape: tuple[int, int] | None

    @property
    def name(self) -> str:
        """Its name as a directory."""
        block = "dense" if self.block_shape is None else "{}x{}".format(*self.block_shape)
        return f"{self.width}-{self.seq_len}-{block}"


def parse_cases(width: str, seq_len: str, block: str) -> list[Case]:
    """Return all combinations of what the options list.

    Raises
    ------
    click.UsageError
        If a list is none of numbers, or of blocks such as 4x1.
    """
    shapes: list[tuple[int, int] | None] = [None]
    try:
        for shape in block.split(","):
            rows, columns = shape.split("x")
            shapes.append((int(rows), int(columns)))
        extents = itertools.product(map(int, width.split(",")), map(int, seq_len.split(",")))
        return [Case(*extent, shape) for extent in extents for shape in shapes]
    except ValueError as error:
        raise click.UsageError(f"{error}: lists such as 384,768 and 1x1,4x1 are needed") from None


def write_config(folder: Path, width: int) -> Path:
    """Write the configuration of a one-layer BERT with few words."""
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": 12,
        "num_hidden_layers": 1,
        "vocab_size": 200,
    }
    directory = folder / "models" / f"bert-{width}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def place_case(case: Case, folder: Path, isa: str, baseline: str) -> Path:
    """Write a build for the guest, its inputs, and the outputs of a build for this machine.

    Parameters
    ----------
    case : Case
        What to build.
    folder : Path
        For models, cache and cases.
    isa, baseline : str
        Instruction sets of the guest's build and of this machine's.

    Returns
    -------
    Path
        The artifact; inputs and outputs are in its directories `in` and `out`.
    """
    model = tvm_sparse.load_model(
        str(write_config(folder, case.width)),
        weights="random",
        seq_len=case.seq_len,
        cache_dir=folder / "cache",
    )
    build = "dense"
    if case.block_shape is not None:
        build = "sparse"
        model = tvm_sparse.sparsify(
            model, sparsity=SPARSITY, block_shape=case.block_shape, sparsity_threshold=0.5
        )
    directory = folder / "cases" / case.name
    guest = tvm_sparse.compile(model, builds=(build,), target=isa, threads=2)
    tvm_sparse.export(guest, directory)
    here = tvm_sparse.compile(model, builds=(build,), target=baseline, threads=2)
    outputs = tvm_sparse.load(here.directories[build]).run(**model.reference.inputs)
    for folder, tensors in (("in", model.reference.inputs), ("out", outputs)):
        (directory / folder).mkdir()
        for name, values in tensors.items():
            values.tofile(directory / folder / f"{name}.bin")
    return directory
