"""Names that transformers has for a checkpoint's weights: asked as it answers, or said so."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tvm_sparse.errors import CheckpointError
from tvm_sparse.importers.torch.export import conversions, weights
from tvm_sparse.sources.weight import Weight

pytestmark = pytest.mark.unit

VALUE = np.arange(6, dtype=np.float32).reshape(6, 1)


class Tensor:
    """As much of PyTorch's as is asked."""

    shape = (6, 1)

    def __init__(self) -> None:
        self.data = self
        self.filled = False

    def is_floating_point(self) -> bool:
        return True

    def fill_(self, value: float) -> None:
        self.filled = True


class Model:
    base_model_prefix = ""

    def state_dict(self, keep_vars: bool = False) -> dict[str, Tensor]:
        return {"query.weight": Tensor()}


def stored(name: str) -> dict[str, Weight]:
    return {name: Weight(name, VALUE.shape, lambda: VALUE)}


def install(monkeypatch, version: str, **names) -> None:
    """Have transformers be a version with these names in its modules of conversions."""
    monkeypatch.setattr(conversions, "version", lambda _: version)
    package = ModuleType("transformers")
    for module in ("conversion_mapping", "core_model_loading"):
        setattr(package, module, SimpleNamespace(**names))
    monkeypatch.setitem(sys.modules, "transformers", package)


def test_weights_are_cut_as_transformers_says(monkeypatch):
    class Renaming:
        pass

    class Converter:
        source_patterns = ("qkv",)
        target_patterns = ("query", "key", "value")
        operations = (type("Chunk", (), {})(),)

    Converter.operations[0].dim = 0
    install(
        monkeypatch,
        "5.24.0",
        WeightRenaming=Renaming,
        WeightConverter=Converter,
        get_model_conversion_mapping=lambda model: [Converter()],
        rename_source_key=lambda name, *_: (name.replace("qkv", "query"), "qkv"),
    )
    found, fault = conversions.converted(Model(), stored("qkv.weight"))
    assert (list(found), fault) == (["query.weight", "key.weight", "value.weight"], "")
    np.testing.assert_array_equal(found["key.weight"].read(), VALUE[2:4])


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"get_model_conversion_mapping": lambda model, mapping: []},
        {"get_model_conversion_mapping": lambda model: [], "WeightRenaming": int},
    ],
    ids=["nothing there", "another signature", "a part of it"],
)
def test_another_transformers_is_named_where_a_weight_is_missing(monkeypatch, names):
    install(monkeypatch, "6.1.0", **names)
    found, fault = conversions.converted(Model(), stored("qkv.weight"))
    assert list(found) == ["qkv.weight"]
    assert "transformers 6.1.0" in fault
    with pytest.raises(CheckpointError, match=r"has no query\.weight, and .*6\.1\.0") as caught:
        weights.assign_weights(Model(), stored("qkv.weight"))
    assert "\n" not in str(caught.value)


def test_nothing_is_asked_that_need_not_be(monkeypatch):
    install(monkeypatch, "6.1.0")
    assert conversions.converted(Model(), {}) == ({}, "")
    install(monkeypatch, "4.54.1")
    assert conversions.converted(Model(), stored("qkv.weight"))[1] == ""
