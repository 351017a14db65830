from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from encoder_builds import open_encoder
from relax_modules import random_values
from tiny_artifact import build_tiny_artifact, tiny_inputs

from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.tile_map import micro_batches

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built as its README says; without g++ this fails."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("cpp") / "cpp"))
    command = ["make", "-B", f"PYTHON={sys.executable}", "CXXFLAGS=-O1 -Wall -Wextra -Werror"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "run_artifact"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_artifact(tmp_path_factory.mktemp("cpp") / "artifact")


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_outputs_are_those_of_python(program: Path, artifact: Path, tmp_path: Path) -> None:
    inputs = tiny_inputs(3)
    for name, values in inputs.items():
        values.tofile(tmp_path / f"{name}.bin")
    out = tmp_path / "out"
    out.mkdir()
    done = run(program, artifact, "--inputs", tmp_path, "--outputs", out, "--iterations", 3)
    assert done.returncode == 0, done.stderr
    assert "latency: median" in done.stdout
    assert "of 3 runs" in done.stdout
    model = load(artifact)
    expected = model.run(**inputs)
    for spec in model.outputs:
        values = np.fromfile(out / f"{spec.name}.bin", dtype=spec.dtype).reshape(spec.shape)
        np.testing.assert_array_equal(values, expected[spec.name])
        assert f"{spec.name} [{', '.join(map(str, spec.shape))}]:" in done.stdout


def test_expected_outputs_are_compared(program: Path, artifact: Path, tmp_path: Path) -> None:
    for name, values in tiny_inputs(3).items():
        values.tofile(tmp_path / f"{name}.bin")
    folders = ("--inputs", tmp_path, "--outputs", tmp_path)
    assert run(program, artifact, *folders).returncode == 0
    same = run(program, artifact, *folders, "--expect", tmp_path)
    assert same.returncode == 0, same.stderr
    assert "hidden: differs by at most 0, as expected" in same.stdout
    for wrong in (0.01, np.nan):
        values = np.fromfile(tmp_path / "hidden.bin", np.float32)
        values[7] += wrong
        values.tofile(tmp_path / "hidden.bin")
        other = run(program, artifact, "--inputs", tmp_path, "--expect", tmp_path)
        assert other.returncode == 1
        assert "not as expected" in other.stdout
        assert "pooled: differs by at most 0, as expected" in other.stdout
    (tmp_path / "hidden.bin").write_bytes(b"1234")
    short = run(program, artifact, "--expect", tmp_path)
    assert short.returncode == 1
    assert "hidden.bin has 4 bytes, output hidden 256" in short.stderr


def test_a_build_of_any_length(
    program: Path, artifact: Path, open_artifacts: dict[str, Path], tmp_path: Path
) -> None:
    directory = open_artifacts["dense"]
    for batch, seq_len, parts in ((3, 17, 1), (9, 48, 2)):
        assert len(micro_batches([seq_len] * batch, 1)) == parts
        inputs, _ = random_values(open_encoder()[0], batch=batch, seq_len=seq_len)
        for name, values in inputs.items():
            values.tofile(tmp_path / f"{name}.bin")
        how = ("--shape", f"{batch}x{seq_len}", "--threads", 1, "--iterations", 1)
        done = run(program, directory, *how, "--inputs", tmp_path, "--outputs", tmp_path)
        assert done.returncode == 0, done.stderr
        for name, expected in load(directory, threads=1).run(**inputs).items():
            values = np.fromfile(tmp_path / f"{name}.bin", np.float32).reshape(expected.shape)
            np.testing.assert_array_equal(values, expected)
    for where, shape, said in (
        (directory, "3x49", "the build takes up to 9x48"),
        (directory, "3x", "--shape 3x given: write sequences x tokens, as 3x17"),
        (artifact, "3x17", "--shape is for builds of any length: this one has a shape"),
    ):
        assert said in run(program, where, "--shape", shape).stderr


def test_inputs_are_made_up_when_none_are_given(program: Path, artifact: Path) -> None:
    done = run(program, artifact, "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "hidden [2, 4, 8]:" in done.stdout


def test_refusals(program: Path, artifact: Path, tmp_path: Path) -> None:
    assert run(program).returncode == 2
    assert "unknown option --fast" in run(program, artifact, "--fast", 1).stderr
    for count in ("0", "two", "1.5"):
        refused = run(program, artifact, "--threads", count)
        assert refused.returncode == 2
        assert f"--threads {count} given: write a whole number" in refused.stderr
    missing = run(program, tmp_path)
    assert missing.returncode == 1
    assert "cannot read" in missing.stderr
    (tmp_path / "x.bin").write_bytes(b"1234")
    short = run(program, artifact, "--inputs", tmp_path)
    assert short.returncode == 1
    assert "x.bin has 4 bytes, input x needs 512" in short.stderr
