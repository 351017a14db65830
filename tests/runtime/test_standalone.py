"""Standalone artifacts: they run without apache-tvm, on the library that they carry."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_artifact import tiny_inputs, tiny_reference

from tvm_sparse.compiler.export import check_replaceable
from tvm_sparse.compiler.standalone import REQUIREMENTS, add_runtime, check_standalone
from tvm_sparse.errors import ArtifactError, BuildError, ConfigError
from tvm_sparse.host import detect_host
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.metadata import FFI_FILE, RUNTIME_FILE, load_metadata

pytestmark = pytest.mark.unit

#: Runs an artifact in a Python that has no package `tvm`.
WITHOUT_TVM = """
import sys
sys.modules["tvm"] = None
import json
import numpy as np
import tvm_sparse
from tvm_sparse.errors import TvmSparseError
outputs = {}
try:
    for directory in sys.argv[2:]:
        model = tvm_sparse.load(directory)
        with np.load(sys.argv[1]) as inputs:
            outputs = model.run(**inputs)
    error = ""
except TvmSparseError as failure:
    error = str(failure)
libraries = {line.split()[-1] for line in open("/proc/self/maps") if "libtvm_" in line}
print(json.dumps([{k: v.tolist() for k, v in outputs.items()}, sorted(libraries), error]))
"""


@pytest.fixture
def standalone_dir(dense_dir: Path, tmp_path: Path) -> Path:
    directory = Path(shutil.copytree(dense_dir, tmp_path / "standalone"))
    add_runtime(directory)
    return directory


def run_without_tvm(tmp_path: Path, *directories: Path) -> tuple[dict, list[str], str]:
    np.savez(tmp_path / "inputs.npz", **tiny_inputs())
    command = [sys.executable, "-c", WITHOUT_TVM, tmp_path / "inputs.npz", *directories]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(json.loads(done.stdout))


def test_it_runs_on_its_own_library_where_there_is_no_tvm(standalone_dir, dense_dir, tmp_path):
    outputs, libraries, error = run_without_tvm(tmp_path, standalone_dir)
    assert error == ""
    assert str(standalone_dir / RUNTIME_FILE) in libraries
    assert not [name for name in libraries if "/tvm/lib/" in name]
    for name, expected in tiny_reference(tiny_inputs()).items():
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-5)
    _, libraries, error = run_without_tvm(tmp_path, dense_dir)
    assert error.startswith("apache-tvm is not installed")
    assert not [name for name in libraries if "libtvm_runtime" in name]


def test_with_tvm_installed_its_library_is_used(standalone_dir, dense_dir):
    inputs = tiny_inputs()
    ours, theirs = (load(folder).run(**inputs) for folder in (standalone_dir, dense_dir))
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values)
    assert str(standalone_dir) not in Path("/proc/self/maps").read_text()


def test_what_it_carries_is_listed_and_checked(standalone_dir):
    files = load_metadata(standalone_dir).files
    there = {p.relative_to(standalone_dir).as_posix() for p in standalone_dir.rglob("*.*")}
    assert there <= {*files, "metadata.json"}
    assert {
        RUNTIME_FILE,
        FFI_FILE,
        "runtime/apache-tvm-LICENSE",
        "runtime/apache-tvm-ffi-LICENSE",
    } <= set(files)
    with (standalone_dir / RUNTIME_FILE).open("ab") as library:
        library.write(b"x")
    with pytest.raises(ArtifactError, match=r"libtvm_runtime.so has \d+ bytes instead of"):
        load(standalone_dir)


def test_it_is_replaced_with_what_it_carries_and_nothing_else(standalone_dir):
    check_replaceable(standalone_dir)
    (standalone_dir / "runtime" / "notes.txt").touch()
    with pytest.raises(BuildError, match=r"no part of an artifact \(runtime/notes.txt\)"):
        check_replaceable(standalone_dir)


def test_not_for_another_kind_of_machine():
    check_standalone("native")
    if detect_host().isa != "aarch64":
        with pytest.raises(ConfigError, match="--standalone given for aarch64"):
            check_standalone("aarch64")


def test_all_that_runs_it_is_required_as_the_package_requires_it():
    declared = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    needed = declared.partition("\ndependencies = [")[2].partition("\n]")[0]
    ours = [line.strip(' ",') for line in needed.splitlines() if line.strip().startswith('"')]
    assert set(ours) - set(REQUIREMENTS) == {"apache-tvm==0.27.0.post1"}
