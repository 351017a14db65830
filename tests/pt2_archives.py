"""Archives as `torch.export.save` writes them, made without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_sparse.sources.pt2_archive import DTYPES

NUMBERS = {name: number for number, name in DTYPES.items()}


def _has_torch() -> bool:
    try:
        return version("torch").startswith("2.13")
    except PackageNotFoundError:
        return False


#: For tests that export from PyTorch, always in a process of its own.
needs_torch = pytest.mark.skipif(
    not _has_torch(), reason="PyTorch 2.13 is not installed (the extra 'torch')"
)


def run_with_torch(code: str, *arguments: object) -> str:
    """Run code in a process of its own, and return what it prints."""
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def tensor(name: str) -> dict[str, Any]:
    """An argument that is a tensor."""
    return {"as_tensor": {"name": name}}


def node(target: str, output: str, **arguments: Any) -> dict[str, Any]:
    """A call of an ATen operator.

    Arguments are names of tensors, ints, lists of ints, floats, booleans, or as archives have them.
    """
    kinds = {
        str: tensor,
        bool: lambda v: {"as_bool": v},
        int: lambda v: {"as_int": v},
        float: lambda v: {"as_float": v},
        dict: lambda v: v,
    }
    inputs = [
        {
            "name": name,
            "arg": {"as_ints": value} if isinstance(value, list) else kinds[type(value)](value),
            "kind": 1,
        }
        for name, value in arguments.items()
    ]
    return {"target": f"torch.ops.aten.{target}", "inputs": inputs, "outputs": [tensor(output)]}


def write_archive(
    path: Path,
    nodes: Sequence[dict[str, Any]],
    inputs: Mapping[str, tuple[str, Sequence[int]]],
    values: Mapping[str, tuple[str, Sequence[int]]],
    weights: Mapping[str, np.ndarray],
    output: str,
    schema: int = 8,
) -> Path:
    """Write a program.

    Parameters
    ----------
    inputs, values
        dtype and shape of inputs and of what nodes give, by name.
    weights
        Parameters; in the graph they are called `p_<name>` with `_` for `.`.
    """
    own = {name: "p_" + name.replace(".", "_") for name in weights}
    metas = {
        **{name: _meta(dtype, shape) for name, (dtype, shape) in {**inputs, **values}.items()},
        **{own[name]: _meta(str(value.dtype), value.shape) for name, value in weights.items()},
    }
    parameters = [
        {"parameter": {"arg": {"name": own[name]}, "parameter_name": name}} for name in weights
    ]
    given = [{"user_input": {"arg": tensor(name)}} for name in inputs]
    program = {
        "schema_version": {"major": schema, "minor": 20},
        "graph_module": {
            "graph": {"nodes": list(nodes), "tensor_values": metas},
            "signature": {
                "input_specs": [*parameters, *given],
                "output_specs": [{"user_output": {"arg": tensor(output)}}],
            },
            "module_call_graph": [],
        },
    }
    config = {
        name: {"path_name": f"weight_{i}", "use_pickle": False, "tensor_meta": metas[own[name]]}
        for i, name in enumerate(weights)
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/models/model.json", json.dumps(program))
        archive.writestr("toy/archive_format", "pt2")
        archive.writestr("toy/byteorder", "little")
        name = "toy/data/weights/model_weights_config.json"
        archive.writestr(name, json.dumps({"config": config}))
        for i, value in enumerate(weights.values()):
            archive.writestr(f"toy/data/weights/weight_{i}", value.tobytes())
    return path


def _meta(dtype: str, shape: Sequence[int]) -> dict[str, Any]:
    strides = [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]
    return {
        "dtype": NUMBERS[dtype],
        "sizes": [{"as_int": int(extent)} for extent in shape],
        "strides": [{"as_int": step} for step in strides],
        "storage_offset": {"as_int": 0},
    }
