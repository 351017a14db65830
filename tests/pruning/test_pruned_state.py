import numpy as np
import pytest
from example_pruning import example_report

from tvm_sparse.pruning.pruned_state import keep_pruned, kept_pruned, pruning_key
from tvm_sparse.sparsity.prune_spec import PruneSpec

pytestmark = pytest.mark.unit
PARAMS = {"b": np.ones((2, 3), np.float32), "a": np.zeros(4, np.float32)}
REPORT = example_report()


def test_what_is_kept_comes_back(tmp_path):
    keep_pruned(tmp_path / "state", "key", PARAMS, REPORT)
    params, report = kept_pruned(tmp_path / "state", "key", PARAMS)
    assert list(params) == ["b", "a"]
    for name, value in PARAMS.items():
        np.testing.assert_array_equal(params[name], value)
    assert report == REPORT


def test_what_is_damaged_or_another_is_made_again(tmp_path):
    assert kept_pruned(tmp_path, "key", PARAMS) is None
    keep_pruned(tmp_path, "key", PARAMS, REPORT)
    assert kept_pruned(tmp_path, "other", PARAMS) is None
    assert kept_pruned(tmp_path, "key", {**PARAMS, "c": PARAMS["a"]}) is None
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    assert kept_pruned(tmp_path, "key", PARAMS) is None


def test_the_key_follows_the_weights_the_spec_and_the_text(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("one\n")
    spec = PruneSpec(sparsity=0.5, calibration=str(text))
    key = pruning_key("ir", spec)
    assert key == pruning_key("ir", PruneSpec(sparsity=0.5, calibration=str(text)))
    assert key != pruning_key("other", spec)
    assert key != pruning_key("ir", PruneSpec(sparsity=0.6, calibration=str(text)))
    text.write_text("two\n")
    assert key != pruning_key("ir", spec)
