"""A very small BERT: checkpoints, and imports that the tests share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_bert import CONFIG, TEXTS, bert_tensors, write_checkpoint


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.fixture(scope="session")
def dense_dir(tiny_root) -> Path:
    return write_checkpoint(tiny_root / "dense", bert_tensors(CONFIG), CONFIG)


@pytest.fixture(scope="session")
def pruned_dir(tiny_root) -> Path:
    """The same weights, every second one of the encoder's matrices zero."""
    tensors = bert_tensors(CONFIG)
    for name, value in tensors.items():
        if value.ndim == 2 and name.startswith("encoder"):
            value[np.abs(value) < np.median(np.abs(value))] = 0
    return write_checkpoint(tiny_root / "pruned", tensors, CONFIG)


@pytest.fixture(scope="session")
def shared_cache(tiny_root) -> Path:
    """A cache for all tests of this room: an import takes seconds."""
    return tiny_root / "cache"


@pytest.fixture(scope="session")
def text_file(tiny_root) -> Path:
    path = tiny_root / "texts.txt"
    path.write_text("\n".join(TEXTS) + "\n")
    return path


@pytest.fixture(scope="session")
def dense_side(dense_dir, shared_cache):
    """The dense model, imported and compiled once."""
    from tvm_sparse.config.compile import CompileSpec
    from tvm_sparse.fidelity.sides import open_side

    return open_side(str(dense_dir), CompileSpec(threads=1), shared_cache, batch=4, seq_len=16)
