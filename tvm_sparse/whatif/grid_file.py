"""Read a grid from flags and from a YAML file."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tvm_sparse.config.micro_batches import nominal_length
from tvm_sparse.errors import ConfigError
from tvm_sparse.records.yaml_file import read_yaml
from tvm_sparse.sizes import Extent, parse_block_shape, parse_extent, parse_shape
from tvm_sparse.whatif.grid import Grid

#: Names of a grid's axes in a YAML file, and the fields of `Grid` they stand for.
_AXES = {
    "sparsity": "sparsities",
    "block_shape": "block_shapes",
    "seq_len": "seq_lens",
    "batch": "batches",
    "threads": "threads",
    "shape": "shapes",
}
_WANTED = {
    "sparsity": "a fraction",
    "block_shape": "a text like 4x1",
    "shape": "a text like 8x384",
    "seq_len": "a whole number or a range like 1:512",
    "batch": "a whole number or a range like 1:32",
}
#: Axes that may be a range: one build then takes any of its sizes.
_RANGES = ("seq_len", "batch")


def parse_axes(flags: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the axes given as comma-separated texts, as arguments of `Grid`.

    Parameters
    ----------
    flags : mapping of str to (str or None)
        Under sparsity, seq_len, batch and threads; None where nothing was given.

    Returns
    -------
    dict of str to tuple
        For `make_grid`, which makes of ranges what `Grid` takes.

    Raises
    ------
    ConfigError
        If a part of a text is not of its axis' kind.
    """
    arguments: dict[str, Any] = {}
    for axis, text in flags.items():
        if text is not None:
            kind = float if axis == "sparsity" else int
            parts = [part.strip() for part in text.split(",") if part.strip()]
            arguments[_AXES[axis]] = tuple(
                parse_extent(axis.replace("_", "-"), part)
                if axis in _RANGES and ":" in part
                else _parse_number(axis, part, kind)
                for part in parts
            )
    return arguments


def make_grid(axes: Mapping[str, Any]) -> Grid:
    """Return the grid of axes as `parse_axes` and `load_grid` return them.

    Where a length or a batch is a range, one build runs at all `shapes`: by default at one short
    text.

    Raises
    ------
    ConfigError
        Shapes without a range, or what `Grid` refuses.
    """
    sizes = {name: axes[name] for name in ("seq_lens", "batches") if name in axes}
    is_open = any(isinstance(size, Extent) for values in sizes.values() for size in values)
    if not is_open:
        if axes.get("shapes"):
            raise ConfigError(
                "shapes given: they are for one build of any shape, give --seq-len or --batch as a "
                "range, for example 1:512"
            )
        return Grid(**axes)
    most = {
        name: tuple(size.most if isinstance(size, Extent) else size for size in values)
        for name, values in sizes.items()
    }
    longest = most.get("seq_lens", Grid.seq_lens)[0]
    return Grid(**{"shapes": ((1, nominal_length(longest)),), **axes, **most})


def load_grid(path: str | Path) -> dict[str, Any]:
    """Return the axes in a YAML file, for `make_grid`.

    Raises
    ------
    ConfigError
        If the file cannot be read, is no mapping, or holds an unknown name or a wrong value.
    """
    document = read_yaml(path, ConfigError)
    if not isinstance(document, Mapping):
        raise ConfigError(f"{path} holds no mapping: write lines like `sparsity: [0.8, 0.9]`")
    unknown = [str(name) for name in document if name not in _AXES]
    if unknown:
        raise ConfigError(
            f"{path} has unknown keys {', '.join(unknown)}: a grid has {', '.join(_AXES)}"
        )
    return grid_arguments({name: _as_list(value) for name, value in document.items()}, str(path))


def grid_arguments(axes: Mapping[str, Iterable[Any]], origin: str) -> dict[str, Any]:
    """Return the arguments of `make_grid` for axes under their YAML names.

    Raises
    ------
    ConfigError
        If a value is of the wrong kind.
    """
    arguments: dict[str, Any] = {}
    for name, values in axes.items():
        converted: list[Any] = []
        for value in values:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if name == "block_shape" and isinstance(value, str):
                converted.append(parse_block_shape(value))
            elif name == "shape" and isinstance(value, str):
                converted.append(parse_shape(value))
            elif name in _RANGES and isinstance(value, str) and ":" in value:
                converted.append(parse_extent(name.replace("_", "-"), value))
            elif name == "sparsity" and number:
                converted.append(float(value))
            elif name not in ("sparsity", "block_shape", "shape") and number and value % 1 == 0:
                converted.append(int(value))
            else:
                needed = _WANTED.get(name, "a whole number")
                raise ConfigError(
                    f"{origin}: {name} {reprlib.repr(value)} given, {needed} is needed"
                )
        arguments[_AXES[name]] = tuple(converted)
    return arguments


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value] if value is not None else []


def _parse_number(axis: str, text: str, kind: type[int] | type[float]) -> int | float:
    try:
        return kind(text)
    except ValueError:
        what = "whole numbers" if kind is int else "fractions"
        name = axis.replace("_", "-")
        raise ConfigError(f"--{name} {text!r} given: write {what} with commas between") from None
