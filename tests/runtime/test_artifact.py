from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_artifact import (
    WEIGHT,
    build_tiny_artifact,
    compile_tiny,
    edit_metadata,
    tiny_inputs,
    tiny_metadata,
    tiny_reference,
)

from tvm_sparse.compiler.export import export_artifact
from tvm_sparse.errors import ArtifactError, ConfigError, InputError
from tvm_sparse.host import detect_host
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.inputs import align
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.runtime.weights import ALIGNMENT_BYTES

pytestmark = pytest.mark.unit


@pytest.fixture
def copy_dir(dense_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dense_dir, tmp_path / "copy"))


def refusal(directory: Path, kind=ArtifactError) -> str:
    with pytest.raises(kind) as caught:
        load(directory)
    message = str(caught.value)
    assert "\n" not in message
    return message


def check_outputs(outputs, inputs) -> None:
    reference = tiny_reference(inputs)
    assert list(outputs) == ["hidden", "pooled"]
    for name, expected in reference.items():
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], expected, rtol=1e-5, atol=1e-5)


def test_runs_and_matches_numpy(dense_dir: Path) -> None:
    model = load(dense_dir, threads=2)
    assert [str(spec) for spec in model.inputs] == ["ids int32[2, 4]", "x float32[2, 4, 16]"]
    assert [spec.name for spec in model.outputs] == ["hidden", "pooled"]
    for seed in range(3):
        inputs = tiny_inputs(seed)
        check_outputs(model.run(**inputs), inputs)


def test_outputs_belong_to_the_caller(dense_dir: Path) -> None:
    model = load(dense_dir)
    inputs = tiny_inputs()
    first = model.run(**inputs)
    kept = first["hidden"].copy()
    model.run(**tiny_inputs(1))
    np.testing.assert_array_equal(first["hidden"], kept)
    first["hidden"][...] = np.nan
    check_outputs(model.run(**inputs), inputs)


def test_inputs_of_any_strides_and_alignment_are_taken_and_left_alone(dense_dir: Path) -> None:
    model = load(dense_dir)
    inputs = tiny_inputs()
    wide = np.zeros((2, 4, 32), np.float32)
    wide[:, :, ::2] = inputs["x"]
    raw = np.zeros(inputs["ids"].nbytes + 1, np.uint8)
    misaligned = raw[1:].view(np.int32).reshape(2, 4)
    misaligned[...] = inputs["ids"]
    before = wide.copy()
    check_outputs(model.run(ids=misaligned, x=wide[:, :, ::2]), inputs)
    np.testing.assert_array_equal(wide, before)


def test_numbers_of_other_dtypes_and_lists_are_converted(dense_dir: Path) -> None:
    model = load(dense_dir)
    inputs = tiny_inputs()
    for ids in (inputs["ids"].tolist(), inputs["ids"].astype(">i8"), inputs["ids"].astype("u1")):
        check_outputs(model.run(ids=ids, x=inputs["x"].astype(np.float64)), inputs)


def test_fewer_sequences_than_the_build_is_for(dense_dir: Path) -> None:
    model = load(dense_dir)
    inputs = tiny_inputs()
    one = {name: value[:1] for name, value in inputs.items()}
    outputs = model.run(**one)
    assert outputs["hidden"].shape == (1, 4, 8)
    check_outputs(outputs, one)


def test_align_copies_to_whole_vectors() -> None:
    for size in (1, 7, 64):
        array = np.arange(size, dtype=np.float32)[::-1]
        copy = align(array)
        assert copy.ctypes.data % ALIGNMENT_BYTES == 0
        np.testing.assert_array_equal(copy, array)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": None}, "missing x: the model takes ids int32"),
        ({"y": np.zeros(3)}, "unknown y: the model takes"),
        ({"x": np.zeros((2, 5, 16))}, "input x has 5 tokens, ids has 4: give all inputs the same"),
        ({"ids": np.zeros((2, 5), int), "x": np.zeros((2, 5, 16))}, "ids has 5 tokens, the build"),
        ({"ids": np.zeros((3, 4), int), "x": np.zeros((3, 4, 16))}, "ids has 3 sequences, the b"),
        ({"ids": np.zeros((2, 3), int), "x": np.zeros((2, 3, 16))}, "takes no attention_mask"),
        ({"ids": np.zeros((0, 4), int), "x": np.zeros((0, 4, 16))}, "leave it out: it has nothing"),
        ({"x": np.zeros((2, 4, 15))}, r"input x has shape \(2, 4, 15\), the build takes x float32"),
        ({"ids": np.zeros((2, 4))}, "input ids is float64, int32 is needed"),
        ({"ids": np.full((2, 4), "a")}, "input ids is <U1, int32 is needed"),
        ({"ids": [[1, 2, 3, 4], [5]]}, "input ids is no rectangle of numbers: pad it, or give"),
        ({"ids": np.full((2, 4), 1 << 32)}, "input ids holds numbers that are too large for int32"),
        ({"ids": np.zeros((), np.int32)}, r"shape \(\)"),
    ],
)
def test_wrong_inputs_are_refused(dense_dir: Path, changes, message: str) -> None:
    model = load(dense_dir)
    inputs = {k: v for k, v in {**tiny_inputs(), **changes}.items() if v is not None}
    with pytest.raises(InputError, match=message) as caught:
        model.run(**inputs)
    assert "\n" not in str(caught.value)
    check_outputs(model.run(**tiny_inputs()), tiny_inputs())


def test_no_directory(tmp_path: Path) -> None:
    assert "no artifact directory" in refusal(tmp_path / "nothing")
    assert "has no metadata.json" in refusal(tmp_path)


def test_an_edited_byte_is_noticed(copy_dir: Path) -> None:
    content = bytearray((copy_dir / "model.so").read_bytes())
    content[len(content) // 2] ^= 1
    (copy_dir / "model.so").write_bytes(content)
    assert "does not match its checksum" in refusal(copy_dir)


def test_a_truncated_file_is_noticed(copy_dir: Path) -> None:
    library = copy_dir / "model.so"
    library.write_bytes(library.read_bytes()[:-100])
    assert "bytes instead of" in refusal(copy_dir)


def test_a_missing_library_is_noticed(copy_dir: Path) -> None:
    (copy_dir / "model.so").unlink()
    assert "model.so is missing" in refusal(copy_dir)
    edit_metadata(copy_dir, files={})
    assert "does not list model.so" in refusal(copy_dir)


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"schema_version": 1}'])
def test_damaged_metadata(copy_dir: Path, text: str) -> None:
    (copy_dir / "metadata.json").write_text(text)
    assert "damaged" in refusal(copy_dir)


def test_another_schema_version(copy_dir: Path) -> None:
    assert "schema version 99" in refusal(edit_metadata(copy_dir, schema_version=99))


def test_a_cpu_without_the_features(copy_dir: Path) -> None:
    edit_metadata(copy_dir, isa="x86-64-v9", required_features=["sse4_2", "avx9000"])
    message = refusal(copy_dir)
    assert "built for x86-64-v9" in message
    assert "lacks avx9000: export the model with --target" in message


def test_what_the_system_refuses(copy_dir: Path, monkeypatch) -> None:
    flags = frozenset({"amx_int8", "amx_tile"})
    host = replace(detect_host(), features=detect_host().features - flags, refused=flags)
    monkeypatch.setattr("tvm_sparse.runtime.artifact.detect_host", lambda: host)
    edit_metadata(copy_dir, required_features=["sse4_2", "amx_int8"])
    assert "this system does not let a process use amx_int8: export the" in refusal(copy_dir)


def test_a_cpu_that_does_not_say_what_it_can(copy_dir: Path, monkeypatch) -> None:
    host = replace(detect_host(), isa="unknown", features=frozenset())
    monkeypatch.setattr("tvm_sparse.runtime.artifact.detect_host", lambda: host)
    edit_metadata(copy_dir, required_features=["sse4_2"])
    assert "/proc/cpuinfo does not say what this CPU can do: make it readable" in refusal(copy_dir)


def test_a_file_system_that_runs_nothing(copy_dir: Path, monkeypatch) -> None:
    (copy_dir / "model.so").write_text("as good as no library")
    relabel(copy_dir)
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_flag=os.ST_NOEXEC))
    assert "its file system is mounted noexec, put it on another" in refusal(copy_dir)


@pytest.mark.parametrize("key", ["tvm", "ffi"])
def test_other_versions(copy_dir: Path, key: str) -> None:
    versions = load_metadata(copy_dir).versions
    message = refusal(edit_metadata(copy_dir, versions={**versions, key: "0.99.0"}))
    assert "0.99.0" in message
    edit_metadata(copy_dir, versions={k: v for k, v in versions.items() if k != key})
    assert "unknown" in refusal(copy_dir)


def first(directory: Path, side: str, **changes) -> list[dict]:
    """Return the inputs or outputs in the metadata, the first one changed."""
    one, *others = json.loads((directory / "metadata.json").read_text())[side]
    return [{**one, **changes}, *others]


@pytest.mark.parametrize(
    ("side", "changes", "said"),
    [
        ("inputs", {"name": "idz"}, "main(idz int32[2, 4], x float32[2, 4, 16]) -> "),
        ("inputs", {"shape": [2, 5]}, "main(ids int32[2, 5], "),
        ("inputs", {"dtype": "int64"}, "main(ids int64[2, 4], "),
        ("outputs", {"shape": [2, 4, 9]}, " -> hidden float32[2, 4, 9], pooled float32[2, 8], "),
        ("outputs", {"name": "pooled"}, " -> pooled float32[2, 4, 8], pooled float32[2, 8], "),
        ("outputs", {"dtype": "complex64"}, "outputs[0].dtype: Expected str matching regex"),
        ("outputs", {"name": "a int32[1], b"}, "outputs[0].name: Expected str matching regex"),
        ("inputs", {"shape": [2, -4]}, "inputs[0].shape[1]: Expected int >= 0, got -4"),
        ("inputs", {"shape": [10**400]}, "a number in it has more than 64 bits"),
    ],
)
def test_a_signature_that_lies(copy_dir: Path, side: str, changes: dict, said: str) -> None:
    assert said in refusal(edit_metadata(copy_dir, **{side: first(copy_dir, side, **changes)}))


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_signature_in_another_order(copy_dir: Path, side: str) -> None:
    edit_metadata(copy_dir, **{side: first(copy_dir, side)[::-1]})
    assert "model.so is main(ids int32[2, 4], x float32[2, 4, 16]) -> " in refusal(copy_dir)


def test_an_entry_that_is_not_there(copy_dir: Path, tmp_path: Path) -> None:
    assert "says forward(ids " in refusal(edit_metadata(copy_dir, entry="forward"))
    metadata = tiny_metadata(entry="forward")
    directory = export_artifact(compile_tiny(), {"w": WEIGHT}, metadata, tmp_path / "a")
    assert "no function 'forward'" in refusal(directory)


def test_other_weights_than_the_code_takes(tmp_path: Path) -> None:
    for weights in ({}, {"w": WEIGHT, "v": WEIGHT}):
        directory = export_artifact(compile_tiny(), weights, tiny_metadata(), tmp_path / "a")
        said = f"model.so takes 3 tensors, there are 2 inputs and {len(weights)} weights"
        assert said in refusal(directory)


def test_any_edit_of_the_metadata_is_noticed(copy_dir: Path) -> None:
    path = copy_dir / "metadata.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document, indent=8))
    load(copy_dir)  # spaces are nobody's business
    path.write_text(json.dumps({**document, "compile_s": 0.26}))
    assert "does not match its checksum: it was changed after the export" in refusal(copy_dir)


@pytest.mark.parametrize(("bad", "place"), [(-1, (0, 0)), (9, (1, 3)), (2**31 - 1, (1, 0))])
def test_ids_the_model_has_no_row_for_are_refused(dense_dir: Path, bad: int, place) -> None:
    inputs = tiny_inputs()
    inputs["ids"][place] = bad
    message = rf"^input ids holds {bad} at \[{place[0]}, {place[1]}\], the model has 0 to 8: "
    with pytest.raises(InputError, match=message):
        load(dense_dir).run(**inputs)
    # Of any strides, too.
    wide = np.zeros((2, 8), np.int32)
    wide[:, ::2] = inputs["ids"]
    with pytest.raises(InputError, match="input ids holds"):
        load(dense_dir).run(**{**inputs, "ids": wide[:, ::2]})
    check_outputs(load(dense_dir, check_ids=False).run(**inputs), inputs)


def test_the_weights_are_read_where_the_library_lies(dense_dir: Path) -> None:
    model = load(dense_dir)
    (weight,) = map(np.from_dlpack, model._weights)
    np.testing.assert_array_equal(weight, WEIGHT)
    assert weight.ctypes.data % ALIGNMENT_BYTES == 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, flags, *_, name = line.split()
        start, end = (int(address, 16) for address in span.split("-"))
        if start <= weight.ctypes.data < end:
            assert (flags, name) == ("r--p", str(dense_dir / "model.so"))
            break
    else:
        pytest.fail("the weight lies in no mapping")


def relabel(directory: Path) -> None:
    """Give the metadata the checksum of whatever model.so is."""
    import hashlib

    content = (directory / "model.so").read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
    edit_metadata(directory, files={"model.so": entry})


def test_a_library_for_another_machine(copy_dir: Path) -> None:
    content = bytearray((copy_dir / "model.so").read_bytes())
    content[18:20] = (183).to_bytes(2, "little")  # e_machine of the ELF header: AArch64
    (copy_dir / "model.so").write_bytes(content)
    relabel(copy_dir)
    assert "cannot be loaded" in refusal(copy_dir)


def test_a_library_that_is_no_model(copy_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.c").write_text("int nothing;\n")
    command = ["gcc", "-shared", "-o", copy_dir / "model.so", tmp_path / "empty.c"]
    subprocess.run(command, check=True)
    relabel(copy_dir)
    assert "model.so cannot be loaded (undefined symbol: tvm_sparse_weights" in refusal(copy_dir)
    (copy_dir / "model.so").unlink()  # what is mapped must not be written to
    (copy_dir / "model.so").write_text("no library")
    relabel(copy_dir)
    assert "cannot be loaded" in refusal(copy_dir)


def test_threads_that_cannot_be_had(dense_dir: Path) -> None:
    for threads in (0, -1, 10_000):
        with pytest.raises(ConfigError, match=f"threads {threads} given: use 1 to"):
            load(dense_dir, threads)


def test_the_environment_has_the_default_and_no_limit(dense_dir: Path) -> None:
    program = f"""
import os
os.environ["TVM_NUM_THREADS"] = "1"
from tvm_sparse.runtime.artifact import load
print(load({str(dense_dir)!r}).threads, load({str(dense_dir)!r}, threads=2).threads)
"""
    assert run_python(program).split() == ["1", "2"]


def test_python_threads_share_a_model(dense_dir: Path) -> None:
    model = load(dense_dir)
    failures = []

    def work(seed: int) -> None:
        try:
            for _ in range(30):
                check_outputs(model.run(**tiny_inputs(seed)), tiny_inputs(seed))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_replaced_artifact_is_loaded_anew(tmp_path: Path) -> None:
    directory = build_tiny_artifact(tmp_path / "a")
    first = load(directory)
    zeros = {"w": np.zeros((16, 8), np.float32)}
    export_artifact(compile_tiny(), zeros, load_metadata(directory), directory)
    inputs = tiny_inputs()
    second = load(directory).run(**inputs)["hidden"]
    np.testing.assert_array_equal(second, np.repeat(inputs["ids"][:, :, None], 8, axis=2))
    check_outputs(first.run(**inputs), inputs)


def test_neither_the_compiler_nor_tensorflow_is_loaded(dense_dir: Path) -> None:
    program = f"""
import sys
import numpy as np
from tvm_sparse.runtime.artifact import load
model = load({str(dense_dir)!r})
zeros = {{spec.name: np.zeros(spec.shape, spec.dtype) for spec in model.inputs}}
assert not model.run(**zeros)["hidden"].any()
for name in ("tvm", "tensorflow", "transformers", "scipy", "torch"):
    assert name not in sys.modules, name
libraries = open("/proc/self/maps").read()
assert "libtvm_runtime.so" in libraries
assert "libtvm_compiler" not in libraries
print("clean")
"""
    assert run_python(program).strip() == "clean"


def run_python(program: str) -> str:
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
