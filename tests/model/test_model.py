from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from made_models import make_model

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.model.facts import WeightsFacts

pytestmark = pytest.mark.unit

MODEL = make_model({"w": np.zeros((300, 4))}, inputs={"x": np.zeros((1, 300), np.float32)})


def test_a_model_is_shown_in_a_few_words() -> None:
    shown = repr(replace(MODEL, sparsity=SparsitySpec(0.9, (4, 1), prune="random")))
    assert len(shown) < 500
    for word in ("made (BertModel, encoder)", "x float32[1, 300]", "1,200", "random 4x1 0.9"):
        assert word in shown


def test_a_notebook_shows_a_table_without_running_what_the_facts_say() -> None:
    facts = replace(MODEL.facts, weights=WeightsFacts("random", detail="<script>"))
    table = replace(MODEL, facts=facts)._repr_html_()
    assert table.count("<tr>") == len(MODEL._summary())
    assert "&lt;script&gt;" in table
    assert "<script>" not in table


def test_the_original_has_the_weights_it_was_imported_with() -> None:
    changed = replace(MODEL, params={"w": np.ones((300, 4))}, sparsity=SparsitySpec())
    assert changed.original.params is MODEL.params
    assert changed.original.sparsity is None
