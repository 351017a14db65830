"""The block shape in which a directory's weights were pruned, as `pruning.json` there has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.read import check_types, read_json

REPORT_FILE = "pruning.json"
_Size = Annotated[int, Meta(ge=1, le=1 << 20)]


class _Spec(TypedDict, total=False):
    block_shape: tuple[_Size, _Size]


class _Report(TypedDict, total=False):
    spec: _Spec


def pruned_blocks(model: str) -> tuple[int, int] | None:
    """Return the block shape (bs_r, bs_c) of a pruned model, None where nothing says one.

    Parameters
    ----------
    model : str
        As the user named it; only directories have such a file.

    Raises
    ------
    CheckpointError
        The file is damaged.
    """
    path = Path(model).expanduser() / REPORT_FILE
    if not path.is_file():
        return None
    document = read_json(path, CheckpointError)
    report: _Report = check_types(document, _Report, str(path), CheckpointError)
    found: tuple[int, int] | None = report.get("spec", _Spec()).get("block_shape")
    return found
