"""Checkpoints that are found, of one small tensor."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.sources.presets import load_presets
from tvm_sparse.sources.source import ModelSource, resolve_source

CONFIG = {**load_presets()["bert-tiny"].config, "architectures": ["BertForSequenceClassification"]}


def make_checkpoint(directory: Path, config: dict | None = None) -> Path:
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps(config or CONFIG))
    save_file({"a": np.arange(64, dtype=np.float32)}, directory / "model.safetensors")
    return directory


def resolve(model, **fields) -> ModelSource:
    return resolve_source(ModelSpec(str(model), **fields))
