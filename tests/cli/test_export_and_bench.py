"""`tvm-sparse export`, and `tvm-sparse bench` of what it wrote."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from command_line import QUICK, Sandbox

import tvm_sparse
from tvm_sparse.bench.inputs import random_inputs
from tvm_sparse.bench.record import load_record
from tvm_sparse.errors import InputError
from tvm_sparse.host import detect_host
from tvm_sparse.runtime.metadata import load_metadata, save_metadata

pytestmark = pytest.mark.e2e

#: What a machine that only runs models does not have.
NOT_DEPLOYED = (
    *("tvm", "tensorflow", "tf_keras", "transformers", "safetensors", "scipy"),
    *(f"tvm_sparse.{room}" for room in ("api", "compiler", "importers", "kernels", "passes")),
)


@pytest.fixture(scope="module")
def exported(tiny, tmp_path_factory: pytest.TempPathFactory):
    """Sparse and dense artifacts of the same weights."""
    folder = tmp_path_factory.mktemp("exported")
    sandbox = Sandbox(folder)
    for build in ("sparse", "dense"):
        done = sandbox.run("export", *tiny.flags, "--build", build, "-o", folder / build, "-q")
        assert (done.returncode, done.stderr) == (0, "")
        assert f"{folder / build}: {tiny.directory}, {build} build for" in done.stdout
    return folder


def test_exported_files(exported) -> None:
    for build in ("sparse", "dense"):
        names = sorted(path.name for path in (exported / build).iterdir())
        assert names == ["metadata.json", "model.so"]
        metadata = load_metadata(exported / build)
        assert metadata.build == build
        assert [spec.name for spec in metadata.inputs] == [
            "input_ids",
            "attention_mask",
            "token_type_ids",
        ]


def test_exported_builds_agree(exported) -> None:
    inputs = random_inputs(load_metadata(exported / "sparse"), seed=3)
    sparse, dense = (tvm_sparse.load(exported / b).run(**inputs) for b in ("sparse", "dense"))
    for name, values in dense.items():
        np.testing.assert_allclose(sparse[name], values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "bad"), [("input_ids", 96), ("token_type_ids", 2)])
def test_ids_beyond_the_tables_of_a_model_are_refused(name, bad, exported) -> None:
    model = tvm_sparse.load(exported / "dense")
    inputs = random_inputs(model.metadata)
    inputs[name][0, 1] = bad
    message = rf"input {name} holds {bad} at \[0, 1\], the model has 0 to {bad - 1}: "
    with pytest.raises(InputError, match=message):
        model.run(**inputs)


def test_bench_imports_no_compiler(exported, tmp_path) -> None:
    sandbox = Sandbox(tmp_path)
    arguments = ("bench", exported / "sparse", "--against", exported / "dense", "--profile")
    done = sandbox.run(*arguments, *QUICK, "-v", **sandbox.poisoned(*NOT_DEPLOYED))
    assert done.returncode == 0, done.stderr
    assert sandbox.imported_poison() == ""
    assert "speed" in done.stdout or "faster" in done.stdout or "slower" in done.stdout
    assert "weights: seeded random weights" in done.stdout
    assert "sparse_dense_" in done.stdout
    assert not sandbox.processes()


def test_bench_record(exported, invoke, tmp_path) -> None:
    path = tmp_path / "bench.json"
    result = invoke("bench", exported / "sparse", *QUICK, "--threads", "1", "-q", "--json", path)
    assert (result.code, result.err) == (0, "")
    record = load_record(path)
    assert list(record.builds) == ["sparse"]
    assert record.environment.threads == 1
    assert len(record.decisions) == 7
    assert json.loads(path.read_text())["spec"]["bench"]["iterations"] == 5


def test_bench_with_streams(exported, invoke, tmp_path) -> None:
    path = tmp_path / "bench.json"
    flags = (*QUICK, "--threads", "1", "--streams", "auto", "-q", "--json", path)
    result = invoke("bench", exported / "sparse", *flags)
    assert (result.code, result.err) == (0, "")
    assert "Throughput: all streams busy" in result.out
    (streams,) = load_record(path).builds["sparse"].streams
    assert (streams.streams, streams.threads, len(streams.each)) == (1, 1, 1)
    for wrong, said in (
        ("2", "streams 2 given: they share 1 core"),
        ("0", "streams 0 given"),
        ("two", "--streams 'two' given: write numbers of streams such as 1,4, or auto"),
    ):
        refused = invoke("bench", exported / "sparse", "--threads", "1", "--streams", wrong)
        assert (refused.code, refused.out) == (2, "")
        assert said in refused.err
        assert len(refused.err.strip().splitlines()) == 1


def test_bench_at_several_shapes(open_artifacts, invoke, tmp_path) -> None:
    path = tmp_path / "bench.json"
    builds = (open_artifacts["sparse"], "--against", open_artifacts["dense"])
    flags = ("--shape", "1x16,3x33", *QUICK, "--threads", "1", "-q", "--json", path)
    result = invoke("bench", *builds, *flags)
    assert (result.code, result.err) == (0, "")
    records = json.loads(path.read_text())["records"]
    shapes = [(one["spec"]["model"]["batch"], one["spec"]["model"]["seq_len"]) for one in records]
    assert shapes == [(1, 16), (3, 33)]
    assert [list(one["builds"]) for one in records] == [["dense", "sparse"]] * 2
    assert "medians at several shapes" in result.out
    for wrong, said in (("1x49", "the build is for up to 9x48"), ("1x", "write sequences x tok")):
        refused = invoke("bench", open_artifacts["sparse"], "--shape", wrong)
        assert refused.code == 2
        assert said in refused.err


def test_bench_against_another_kind_of_build(exported, invoke) -> None:
    result = invoke("bench", exported / "dense", "--against", exported / "sparse")
    assert result.code == 2
    assert "give a sparse or rounded build, and one that is neither to --against" in result.err


def test_bench_against_another_shape(exported, invoke, tiny, tmp_path) -> None:
    metadata = load_metadata(exported / "dense")
    inputs = tuple(replace(spec, shape=(1, 8)) for spec in metadata.inputs)
    save_metadata(tmp_path, replace(metadata, inputs=inputs))
    result = invoke("bench", exported / "sparse", "--against", tmp_path)
    assert result.code == 2
    assert "give builds of one model and shape" in result.err


def test_export_for_any_shape(invoke, tiny, tmp_path) -> None:
    shape = ("--seq-len", ":24", "--batch", "1:3")
    result = invoke("export", *tiny.flags, *shape, "-o", tmp_path / "any", "-q")
    assert result.code == 0, result.err
    assert "input_ids int32[batch <= 3, seq_len <= 24]" in result.out
    model = tvm_sparse.load(tmp_path / "any")
    texts = [list(range(length)) for length in (7, 24, 1)]
    for text, found in zip(texts, model.run_ragged(texts), strict=True):
        alone = model.run(input_ids=[text])
        for name, value in found.items():
            np.testing.assert_array_equal(value, alone[name][0])
    refused = invoke("export", *tiny.flags, "--seq-len", "2:24", "-o", tmp_path / "other")
    assert (refused.code, refused.out) == (2, "")
    assert "seq-len '2:24' given: write a number, or a range from 1 such as 1:512" in refused.err


def test_export_for_another_machine(invoke, tiny, tmp_path) -> None:
    # Compiled and linked, but neither run nor checked here.
    if detect_host().isa == "x86-64-v2":
        pytest.skip("this machine is the least that there is")
    flags = ("--target", "x86-64-v2", "-o", tmp_path / "old")
    result = invoke("export", *tiny.flags, *flags, "-q")
    assert result.code == 0, result.err
    metadata = load_metadata(tmp_path / "old")
    assert metadata.isa == "x86-64-v2"
    assert not {"avx", "avx2", "fma"} & set(metadata.required_features)


@pytest.mark.skipif(detect_host().isa == "aarch64", reason="it is no other machine")
def test_standalone_for_another_machine_is_wrong_use(invoke, tiny, tmp_path) -> None:
    flags = ("--target", "aarch64", "--standalone", "-o", tmp_path / "out")
    result = invoke("export", *tiny.flags, *flags)
    assert (result.code, result.out) == (2, "")
    assert "--standalone given for aarch64" in result.err
    assert not (tmp_path / "out").exists()


def test_export_replaces_an_older_artifact(invoke, tiny, tmp_path, exported) -> None:
    out = tmp_path / "out"
    for flags in (("--build", "dense", "--standalone"), ("--build", "sparse")):
        result = invoke("export", *tiny.flags, *flags, "-o", out, "-q")
        assert result.code == 0, result.err
        hint = f"--no-deps tvm_sparse -r {out}/runtime/requirements.txt\n"
        assert result.out.endswith(hint) == ("--standalone" in flags)
        assert (out / "runtime").exists() == ("--standalone" in flags)
    assert load_metadata(out).build == "sparse"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
