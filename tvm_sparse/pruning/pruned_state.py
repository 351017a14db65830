"""Keep pruned weights beside the checkpoints of their training.

A resumed training must start from the very weights it was begun with, and pruning again would take
minutes to make others: threads add up in another order, and the last bits differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.provenance import code_fingerprint
from tvm_sparse.pruning.report import PruningReport
from tvm_sparse.records.read import check_record, parse_json
from tvm_sparse.records.write import json_text
from tvm_sparse.sparsity.prune_spec import PruneSpec

_FILE = "pruned.safetensors"


def pruning_key(model_key: str, spec: PruneSpec) -> str:
    """Return a hash of all that pruned weights depend on.

    `model_key` is that of the import in the cache; files the spec names count by their content.
    """
    basis = [code_fingerprint("pruning"), model_key, asdict(spec)]
    digest = hashlib.sha256(json_text(basis).encode())
    for name in (spec.calibration, spec.schedule):
        if name is not None and Path(name).is_file():
            digest.update(Path(name).read_bytes())
    return digest.hexdigest()


def keep_pruned(
    directory: Path, key: str, params: Mapping[str, np.ndarray], report: PruningReport
) -> None:
    """Write pruned weights and their report; the file appears complete or not at all.

    Raises
    ------
    OSError
        It cannot be written.
    """
    from safetensors.numpy import save_file

    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / f"{_FILE}.partial"
    arrays = {name: np.ascontiguousarray(value) for name, value in params.items()}
    save_file(arrays, partial, metadata={"key": key, "report": json_text(report)})
    partial.replace(directory / _FILE)


def kept_pruned(
    directory: Path, key: str, names: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], PruningReport] | None:
    """Return what `keep_pruned` wrote under this key, None if there is nothing whole.

    The weights come back in the order of `names`, the model's.
    """
    from safetensors import SafetensorError, safe_open

    if not (directory / _FILE).is_file():
        return None
    try:
        with safe_open(directory / _FILE, "numpy") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                return None
            document = parse_json(metadata["report"], _FILE, CheckpointError)
            report = check_record(document, PruningReport, _FILE, CheckpointError)
            return {name: file.get_tensor(name) for name in names}, report
    except (SafetensorError, OSError, ValueError, KeyError, CheckpointError):
        return None  # cut short: prune again
