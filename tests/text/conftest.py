"""A checkpoint with a tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_bert import CONFIG, bert_tensors, write_checkpoint


@pytest.fixture(scope="session")
def dense_dir(tmp_path_factory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny") / "dense", bert_tensors(CONFIG), CONFIG)
