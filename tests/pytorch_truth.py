"""What PyTorch's classes compute for small models: recorded by scripts/record_pytorch.py.

TensorFlow's classes are what an import is checked against at run time; these numbers check them.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from small_models import CASES, VARIANTS, small_config

FILE = Path(__file__).parent / "pytorch_truth.json"
#: Of the values of an output, about so many are recorded.
KEPT = 60


def configs() -> dict[str, dict[str, Any]]:
    """Return the config.json of every case by name."""
    return {preset: small_config(preset) for preset in CASES} | VARIANTS


def read_truth(case: str) -> dict[str, Any]:
    """Return a case's `weights` (names and shapes), `tied` ones, `inputs` and `outputs`."""
    return json.loads(FILE.read_text(encoding="utf-8"))[case]


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return seeded values: attention far from uniform, scales about one."""
    noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    is_scale = len(shape) == 1 and name.endswith("weight")
    return (1 + 0.1 * noise if is_scale else 0.2 * noise).astype(np.float32)


def sample(values: np.ndarray) -> list[float]:
    """Return evenly spaced values of an output."""
    step = max(1, values.size // KEPT) | 1  # odd: every column has its turn
    return [float(f"{value:.6g}") for value in values.ravel()[::step]]


def write_checkpoint(directory: Path, case: str) -> Path:
    """Write the checkpoint that was recorded."""
    from safetensors.numpy import save_file

    truth = read_truth(case)
    (directory / "config.json").write_text(json.dumps(configs()[case]))
    tensors = {name: weight(name, tuple(shape)) for name, shape in truth["weights"].items()}
    tensors |= {name: tensors[first] for name, first in truth["tied"].items()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    return directory
