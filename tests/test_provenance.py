"""What cached things depend on is what the code that makes them imports."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import grimp
import pytest

import tvm_sparse
from tvm_sparse import provenance
from tvm_sparse.provenance import BESIDES, ENTRIES, code_fingerprint, code_of, imports_of

pytestmark = pytest.mark.unit

#: Pruning among them, which runs the model on texts.
COMPILING = {"build", "kernel", "race", "layer", "measurement", "pruning", "fidelity"}


class Graph:
    """The package's imports as import-linter sees them; the package itself is left out."""

    def __init__(self) -> None:
        self.grimp = grimp.build_graph("tvm_sparse", cache_dir=None)

    @staticmethod
    def names(modules: set[str]) -> set[str]:
        return {name.partition(".")[2] for name in modules} - {""}

    def modules(self) -> set[str]:
        return self.names(self.grimp.modules)

    def imports(self, module: str) -> set[str]:
        found = self.grimp.find_modules_directly_imported_by(f"tvm_sparse.{module}")
        return self.names(found)

    def upstream(self, module: str) -> set[str]:
        return self.names(self.grimp.find_upstream_modules(f"tvm_sparse.{module}"))


@pytest.fixture(scope="module")
def graph() -> Graph:
    return Graph()


def room(module: str) -> str:
    return module.split(".")[0]


def test_no_import_is_overlooked(graph: Graph) -> None:
    package = Path(tvm_sparse.__path__[0])
    for module in graph.modules():
        if not (package / module.replace(".", "/")).is_dir():
            assert graph.imports(module) <= set(imports_of(module)), module


def test_what_is_left_out_leads_to_nothing_else(graph: Graph) -> None:
    left_out = {module for module in graph.modules() if room(module) in BESIDES}
    assert {room(name) for module in left_out for name in graph.imports(module)} <= set(BESIDES)


@pytest.mark.parametrize("work", ENTRIES)
def test_the_code_of_a_work_is_all_it_imports(graph: Graph, work: str) -> None:
    needed = set(ENTRIES[work]).union(*map(graph.upstream, ENTRIES[work]))
    assert {module for module in needed if room(module) not in BESIDES} <= set(
        code_of(ENTRIES[work])
    )


def fingerprints() -> dict[str, str]:
    code_fingerprint.cache_clear()
    imports_of.cache_clear()
    return {work: code_fingerprint(work) for work in ENTRIES}


@pytest.fixture(scope="module")
def before() -> dict[str, str]:
    return fingerprints()


@pytest.fixture(scope="module")
def copy(before: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The package's code, copied to where it can be edited."""
    place = tmp_path_factory.mktemp("provenance") / "tvm_sparse"
    shutil.copytree(tvm_sparse.__path__[0], place, ignore=shutil.ignore_patterns("__pycache__"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tvm_sparse, "__path__", [str(place)])
        yield place
    assert fingerprints() == before


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("tiles.py", {*COMPILING, "machine"}),
        ("kernels/attention.py", COMPILING),
        ("importers/raising/gelu.py", {"import onnx", "import tensorflow", "import torch"}),
        ("bench/worker.py", {"measurement"}),
        ("cli/main.py", set()),
        ("errors.py", set()),
    ],
)
def test_an_edited_file_makes_new_what_depends_on_it(
    before: dict[str, str], copy: Path, file: str, changed: set[str]
) -> None:
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content + b"# edited\n")
    after = fingerprints()
    (copy / file).write_bytes(content)
    assert {work for work in ENTRIES if before[work] != after[work]} == changed


def test_versions() -> None:
    found = provenance.versions_of({**provenance.TVM, "none": "no-such-distribution"})
    assert found == {
        "tvm": version("apache-tvm"),
        "ffi": version("apache-tvm-ffi"),
        "none": "not installed",
        "tvm_sparse": tvm_sparse.__version__,
    }
