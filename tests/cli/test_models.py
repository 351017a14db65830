from __future__ import annotations

import pytest

from tvm_sparse.sources.presets import load_presets

pytestmark = pytest.mark.unit


def test_every_preset_with_its_facts(invoke) -> None:
    result = invoke("models")
    assert (result.code, result.err) == (0, "")
    rows = {line.split()[0]: line.split() for line in result.out.splitlines() if line.strip()}
    for preset in load_presets().values():
        assert rows[preset.name][1] == preset.hub_id
        assert str(preset.config.get("vocab_size", "-")) in rows[preset.name]
    assert rows["bert-base"][2:] == ["BertModel", "12", "768", "512", "30522", "12"]
    assert rows["distilbert"][2:] == ["DistilBertModel", "6", "768", "512", "30522", "12"]
