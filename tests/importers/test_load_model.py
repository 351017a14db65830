"""What is decided about a model before it is imported."""

from __future__ import annotations

import pytest

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers import load_model as module

pytestmark = pytest.mark.unit


class Asked(Exception):
    """Instead of an import."""


@pytest.mark.parametrize(("given", "cores", "asked"), [(None, 1, 2), (None, 2, 4), (1, 2, 1)])
def test_this_machine_decides_a_micro_batch_left_open(
    given, cores, asked, monkeypatch, config_dir, tmp_path
):
    def import_model(spec, *_arguments):
        raise Asked(spec.micro_batch)

    monkeypatch.setattr(module, "import_model", import_model)
    monkeypatch.setattr(module, "available_cores", lambda: cores)
    spec = ModelSpec(str(config_dir()), batch=8, seq_len=128, micro_batch=given)
    with pytest.raises(Asked, match=str(asked)):
        module.load_model(spec, Cache(tmp_path))
