"""What the process that prepares an ONNX model hands over: nodes, arrays and their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.records.read import check_types, read_json
from tvm_sparse.records.write import write_json

_PROGRAM_FILE, _ARRAYS_FILE = "program.json", "arrays.npz"


@dataclass(frozen=True)
class OnnxNode:
    """A call of an operator.

    Attributes
    ----------
    op : str
        Its name, behind that of its domain if that is not ONNX's own: `com.microsoft:BiasGelu`.
    name : str
        Of the node, or of its first output where it has none.
    inputs, outputs : tuple of str
        Values that it reads and gives; empty for one that is left out.
    attributes : dict
        Numbers, texts, and lists of them.
    version : int
        Of its domain's operators.
    """

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    version: int = 0

    def error(self, message: str) -> FrontendError:
        """Return an error that names this node and says what it needs."""
        return FrontendError(f"node {self.name} ({self.op}): {message}")


@dataclass(frozen=True)
class OnnxProgram:
    """What a prepared model computes.

    Attributes
    ----------
    nodes : tuple of OnnxNode
        In an order in which they can be computed.
    inputs, outputs : tuple of str
        Values in positional order.
    shapes : dict
        Of the inputs, of one run.
    weights : dict of str to str
        Values that are weights, to the names that the module has for them.
    signature : tuple of TensorSpec
        Of the inputs, of a whole batch.
    extents : dict of str to list of (int, int, int, int)
        Of an open model, values that are vectors of extents: 1, the batch, the length and their
        product, each so many times.
    singles : tuple of str
        Those that are single extents.
    positions : dict of str to list of (int, int, int, int)
        Shapes in a run of the values among `positions`, which reach to the largest shape.
    config : dict
        What stands for keys that the model's config lacks.
    """

    nodes: tuple[OnnxNode, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    weights: dict[str, str]
    signature: tuple[TensorSpec, ...]
    extents: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    singles: tuple[str, ...] = ()
    positions: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


#: Arrays by the name of the value, in groups: `known`, `positions`, `weights`, `inputs`,
#: `outputs`, `layers`, and `inputs` and `outputs` of other runs behind `runs/0/` and so on.
Arrays = Mapping[str, Mapping[str, np.ndarray]]


def write_program(directory: Path, program: OnnxProgram, arrays: Arrays) -> None:
    """Write a program and its arrays into a directory."""
    write_json(directory / _PROGRAM_FILE, asdict(program))
    flat = {f"{group}/{name}": value for group, of in arrays.items() for name, value in of.items()}
    # Not as keywords: names of values are anything.
    with (directory / _ARRAYS_FILE).open("wb") as file:
        np.savez(file, names=np.array(list(flat), dtype=np.str_), **_numbered(flat))


def read_program(directory: Path) -> tuple[OnnxProgram, dict[str, dict[str, np.ndarray]]]:
    """Read what `write_program` wrote."""
    path = directory / _PROGRAM_FILE
    document = read_json(path, CheckpointError)
    program: OnnxProgram = check_types(document, OnnxProgram, str(path), CheckpointError)
    groups: dict[str, dict[str, np.ndarray]] = {}
    with np.load(directory / _ARRAYS_FILE, allow_pickle=False) as arrays:
        for number, name in enumerate(arrays["names"].tolist()):
            group, value = _parted(name)
            groups.setdefault(group, {})[value] = arrays[f"array_{number}"]
    return program, groups


def _parted(name: str) -> tuple[str, str]:
    """Return the group and the value of an array: names of values are anything."""
    parts = name.split("/", 3)
    if parts[0] == "runs":
        return "/".join(parts[:3]), parts[3]
    group, _, value = name.partition("/")
    return group, value


def _numbered(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {f"array_{number}": value for number, value in enumerate(arrays.values())}
