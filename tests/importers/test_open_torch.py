"""Any batch and length through PyTorch: what builds give is what PyTorch gives, at every shape."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from open_builds import assert_right_at_every_shape
from pt2_archives import needs_torch
from small_models import small_config
from tiny_bert import CONFIG, bert_tensors, write_checkpoint

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.torch.importer import import_model
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.e2e, needs_torch]


def load(model, batch=4, seq_len=20, **spec):
    spec = ModelSpec(str(model), batch=batch, seq_len=seq_len, importer="torch", **spec)
    imported = import_model(spec, resolve_source(spec), silent)
    verify(imported, "torch")
    return imported


@pytest.mark.parametrize("preset", ["modernbert-base", "mpnet-base", "qwen3-embedding"])
def test_attention_of_every_kind(preset, tmp_path):
    """Windows and rotations; relative positions; causal masks and heads that share keys."""
    changes = {"local_attention": 8, "global_attn_every_n_layers": 2}
    config = {**small_config(preset), **(changes if preset == "modernbert-base" else {})}
    (tmp_path / "config.json").write_text(json.dumps(config))
    imported = load(tmp_path, weights="random", is_open=True)
    assert imported.outputs[0].axes[:2] == ("batch", "seq_len")
    build = assert_right_at_every_shape(imported)
    assert not build.lowered.mixes_tokens


def test_an_archive_for_any_shape(tmp_path):
    """It is imported for ranges up to its own, and at any one shape."""
    write_checkpoint(tmp_path / "bert", bert_tensors(CONFIG), CONFIG)
    path = tmp_path / "model.pt2"
    command = [
        sys.executable,
        "-m",
        "tvm_sparse.export_pt2",
        str(tmp_path / "bert"),
        "-o",
        str(path),
    ]
    ranges = ["--batch", ":4", "--seq-len", "1:20"]
    done = subprocess.run([*command, *ranges], capture_output=True, text=True, check=True)
    assert "up to 4x20" in done.stdout
    assert_right_at_every_shape(load(path, is_open=True))
    one = load(path, batch=2, seq_len=9)
    assert one.inputs[0].shape == (2, 9)
    assert all(np.isfinite(value).all() for value in one.output_values.values())
    with pytest.raises(FrontendError, match="takes up to 20: give --seq-len 20 or less"):
        load(path, seq_len=21, is_open=True)
