from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from encoder_builds import facts

from tvm_sparse.errors import CacheError
from tvm_sparse.model.facts import ModelFacts

pytestmark = pytest.mark.unit

WANTED = facts("0123", {"ids": np.zeros((2, 4), np.int32)}, {})


def test_facts_come_back_from_a_manifest() -> None:
    manifest = json.loads(json.dumps(asdict(WANTED)))
    assert ModelFacts.from_manifest({**manifest, "kind": "ir", "files": {}}) == WANTED


@pytest.mark.parametrize("fault", [{"weights": None}, {"weights": {"sort": "random"}}])
def test_an_entry_of_another_version_is_refused_in_one_line(fault: dict) -> None:
    manifest = {**json.loads(json.dumps(asdict(WANTED))), **fault}
    with pytest.raises(
        CacheError, match=r"ir/0123: weights.*another version of tvm_sparse"
    ) as caught:
        ModelFacts.from_manifest(manifest)
    assert "\n" not in str(caught.value)
