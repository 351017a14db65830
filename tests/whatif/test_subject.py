"""Where the model of a study comes from is found out once."""

from __future__ import annotations

import pytest

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif import subject as module
from tvm_sparse.whatif.subject import Fill, Subject

pytestmark = pytest.mark.unit


def test_a_model_is_looked_for_once(tmp_path, monkeypatch) -> None:
    asked: list[int] = []
    resolve = module.resolve_source

    def counting(spec, progress):
        asked.append(spec.seq_len)
        return resolve(spec, progress)

    monkeypatch.setattr(module, "resolve_source", counting)
    subject = Subject(ModelSpec("bert-tiny", "random"), Cache(tmp_path), Fill())
    sources = [subject.source(Setting(length, 1, 1, 1)) for length in (64, 128, 64)]
    assert asked == [64]
    assert sources[0] is sources[1]
    # Each length is held against what the model takes all the same.
    with pytest.raises(ConfigError, match="seq-len 513 given"):
        subject.source(Setting(513, 1, 1, 1))
