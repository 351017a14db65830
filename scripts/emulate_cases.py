"""The builds that emulators run, and what they must compute."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

import tvm_sparse
from tvm_sparse.formats.builds import build_of
from tvm_sparse.runtime.loaded_model import LoadedModel

#: Sparsity of the layers: enough for several panels and chunks of the smaller one.
SPARSITY = 0.9
#: (batch, tokens) at which a build for any of them is run.
OPEN_SHAPES = ((1, 1), (1, 40), (2, 33), (3, 128))


@dataclass(frozen=True)
class Case:
    """One build: `width` hidden units, and the block of its sparse weights, None for dense.

    `seq_len` 0 stands for any batch and length up to the largest of `OPEN_SHAPES`; `scheme` is what
    its products are rounded to, if they are.
    """

    width: int
    seq_len: int
    block_shape: tuple[int, int] | None
    scheme: str = ""

    @property
    def name(self) -> str:
        """Its name as a directory."""
        block = "dense" if self.block_shape is None else "{}x{}".format(*self.block_shape)
        return "-".join(filter(None, (f"{self.width}-{self.seq_len or 'any'}", block, self.scheme)))


def parse_cases(width: str, seq_len: str, block: str, schemes: Sequence[str] = ("",)) -> list[Case]:
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
        return [
            Case(*extent, *form)
            for extent in extents
            for form in itertools.product(shapes, schemes)
        ]
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
        The artifact; inputs and outputs are in its directories `in` and `out`, of an open build
        in directories like `2x33`.
    """
    shape = {"seq_len": case.seq_len}
    if not case.seq_len:
        batch, seq_len = map(max, zip(*OPEN_SHAPES, strict=True))
        shape = {"batch": batch, "seq_len": seq_len, "is_open": True}
    config = str(write_config(folder, case.width))
    model = tvm_sparse.load_model(config, weights="random", cache_dir=folder / "cache", **shape)
    build = build_of(case.block_shape is not None, case.scheme).name
    if case.block_shape is not None:
        model = tvm_sparse.sparsify(
            model, sparsity=SPARSITY, block_shape=case.block_shape, sparsity_threshold=0.5
        )
    directory = folder / "cases" / case.name
    there = tvm_sparse.compile(model, builds=(build,), target=isa, threads=2)
    tvm_sparse.export(there, directory, build)
    here = tvm_sparse.compile(model, builds=(build,), target=baseline, threads=2)
    loaded = tvm_sparse.load(here.directories[build])
    (directory / "tolerance").write_text("1e-2" if case.scheme else "1e-4")
    if case.seq_len:
        write_run(directory, loaded, model.reference.inputs)
        return directory
    rng = np.random.default_rng(0)
    for shape in OPEN_SHAPES:
        inputs = {s.name: rng.integers(0, 2, shape).astype(s.dtype) for s in loaded.inputs}
        # A text has one token at least, and pads behind them.
        inputs["attention_mask"] = np.sort(inputs["attention_mask"])[:, ::-1].copy()
        inputs["attention_mask"][:, 0] = 1
        write_run(directory / "{}x{}".format(*shape), loaded, inputs)
    return directory


def runs_of(case: Case, directory: Path) -> list[Path]:
    """Return the directories with the inputs and outputs of an artifact's runs."""
    if case.seq_len:
        return [directory]
    return [directory / "{}x{}".format(*shape) for shape in OPEN_SHAPES]


def write_run(folder: Path, loaded: LoadedModel, inputs: Mapping[str, NDArray[Any]]) -> None:
    """Write inputs to `in` and what a model here makes of them to `out`, a raw file each."""
    for name, tensors in (("in", inputs), ("out", loaded.run(**inputs))):
        (folder / name).mkdir(parents=True)
        for tensor, values in tensors.items():
            values.tofile(folder / name / f"{tensor}.bin")
