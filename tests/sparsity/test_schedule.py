"""Schedules spend the budget to the block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tvm_sparse.errors import ConfigError
from tvm_sparse.sparsity.schedule import by_patterns, by_scores, load_patterns, uniform

pytestmark = pytest.mark.unit

LAYERS = {"a/query/kernel": 100, "a/output/kernel": 60, "b/query/kernel": 7}


def test_uniform_rounds_every_layer():
    assert uniform(LAYERS, 0.5) == {
        "a/query/kernel": 50, "a/output/kernel": 30, "b/query/kernel": 4,
    }  # fmt: skip
    assert set(uniform(LAYERS, 0.0).values()) == {0}
    assert uniform(LAYERS, 1.0) == LAYERS


def test_the_last_pattern_that_matches_counts():
    zeros = by_patterns(LAYERS, {"a/*": 0.2, "*/query/*": 0.9}, 0.5)
    assert zeros == {"a/query/kernel": 90, "a/output/kernel": 12, "b/query/kernel": 6}


def test_patterns_that_match_nothing():
    said = "matches none of the 3 layers to prune; they are named like a/query"
    with pytest.raises(ConfigError, match=said):
        by_patterns(LAYERS, {"c/*": 0.5}, 0.5)


def test_files(tmp_path):
    file = tmp_path / "schedule.yaml"
    file.write_text("'*/query/*': 0.9\na/*: 0.25\n")
    assert load_patterns(file) == {"*/query/*": 0.9, "a/*": 0.25}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("- 1\n", "is no mapping"),
        ("", "is no mapping"),
        ("1: 2\n", "is no mapping"),
        ("a: [\n", "is no YAML"),
        ("a/*: 1.5", "sparsity 1.5 given for a/[*]: it is a fraction"),
        ("a/*: half", "sparsity 'half' given"),
        ("a/*: yes", "sparsity True given"),
        ("a/*: .nan", "sparsity nan given"),
        ("a/*: 2020-13-45", "sparsity '2020-13-45' given"),
    ],
)
def test_files_that_are_no_schedule(content, said, tmp_path):
    file = tmp_path / "schedule.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=said):
        load_patterns(file)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.floats(0.01, 100)), min_size=1, max_size=5),
    st.floats(0, 1),
    st.integers(0, 99),
)
def test_scores_spend_the_budget_on_the_lowest(layers, sparsity, seed):
    rng = np.random.default_rng(seed)
    scores = {f"l{i}": rng.random((1, n)) * scale for i, (n, scale) in enumerate(layers)}
    total = sum(values.size for values in scores.values())
    budget = round(total * sparsity)
    zeros = by_scores(scores, sparsity, least_kept=0.0)
    assert sum(zeros.values()) == budget
    ordered = np.sort(np.concatenate([values.ravel() for values in scores.values()]))
    removed = [np.sort(values.ravel())[: zeros[name]] for name, values in scores.items()]
    np.testing.assert_array_equal(np.sort(np.concatenate(removed)), ordered[:budget])


def test_every_layer_keeps_something_if_the_budget_allows():
    scores = {"weak": np.full((10, 10), 1e-9), "strong": np.ones((10, 10))}
    assert by_scores(scores, 0.5, least_kept=0.05) == {"weak": 95, "strong": 5}
    assert by_scores(scores, 1.0, least_kept=0.05) == {"weak": 100, "strong": 100}
    assert by_scores(scores, 0.0) == {"weak": 0, "strong": 0}
