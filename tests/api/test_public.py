"""The public functions: all there, documented, and found without importing anything heavy."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import tvm_sparse
from tvm_sparse.errors import DependencyError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("name", tvm_sparse.__all__)
def test_every_public_function_is_there_and_in_the_docs(name: str) -> None:
    function = getattr(tvm_sparse, name)
    assert inspect.isfunction(function)
    docs = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
    assert f"\n| `{name}` |" in docs
    assert f"\n::: {function.__module__}.{name}\n" in docs


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, tvm_sparse; tvm_sparse.load; tvm_sparse.sparsify; import json;"
        "print(json.dumps([m for m in ('tvm', 'tensorflow', 'transformers') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
    assert set(tvm_sparse.__all__) <= set(dir(tvm_sparse))
    with pytest.raises(AttributeError, match="no attribute 'loads'"):
        tvm_sparse.loads  # noqa: B018


def test_a_missing_extra_is_told_before_a_checkpoint_is_looked_for(monkeypatch) -> None:
    def check(requirements) -> None:
        raise DependencyError(", ".join(requirement.names[0] for requirement in requirements))

    monkeypatch.setattr("tvm_sparse.importers.import_model.check_dependencies", check)
    monkeypatch.setattr("tvm_sparse.sources.source.resolve_source", lambda *_: pytest.fail("looks"))
    with pytest.raises(DependencyError, match=r"apache-tvm, .*scipy, .*tensorflow, "):
        tvm_sparse.load_model("bert-tiny")
