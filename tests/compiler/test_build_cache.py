"""Builds in the cache: made once, checked, described, and never left half-written."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from encoder_builds import build, encoder, prune
from relax_modules import evaluate
from tolerances import MODEL

from tvm_sparse.cache.store import Cache
from tvm_sparse.compiler import build_cache
from tvm_sparse.compiler.linker import find_linker
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import BuildError, CheckError
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.metadata import load_metadata

pytestmark = pytest.mark.e2e

SPARSE = SparsitySpec(block_shape=(4, 1), sparsity_threshold=0.5)


@pytest.fixture(scope="module")
def model():
    return encoder(1, 2, 5, 24)


@pytest.fixture(scope="module")
def pruned(model):
    return prune(model[1], (4, 1))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Cache:
    """Holds the dense build of the original weights, and both builds of the pruned ones."""
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def dense(cache, model):
    return build(cache, "dense", model)


@pytest.fixture(scope="module")
def sparse(cache, model, pruned):
    return build(cache, "sparse", model, params=pruned, sparsity=SPARSE)


@pytest.fixture
def no_compiler(monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("compiled again")

    monkeypatch.setattr(build_cache, "compile_model", refuse)


def assert_outputs(artifact, model, params=None) -> None:
    mod, _, inputs, outputs = model
    if params is not None:
        outputs = dict(zip(outputs, evaluate(mod, params, inputs), strict=True))
    found = load(artifact.directory, 2).run(**inputs)
    assert list(found) == list(outputs)
    for name, wanted in outputs.items():
        np.testing.assert_allclose(found[name], wanted, err_msg=name, **MODEL)


def test_a_dense_build_is_checked_and_kept(cache, dense, model, no_compiler):
    assert_outputs(dense, model)
    assert dense.reference_check.keys() == model[3].keys()
    assert max(dense.reference_check.values()) < 1e-4
    told = []
    again = build(cache, "dense", model, progress=told.append)
    assert again == dense
    assert told == ["dense build taken from the cache"]


def test_a_dense_build_of_pruned_weights_is_checked_with_the_original_ones(cache, model, pruned):
    artifact = build(cache, "dense", model, params=pruned, sparsity=SPARSE)
    assert max(artifact.reference_check.values()) < 1e-4
    assert_outputs(artifact, model, pruned)


def test_a_sparse_build_computes_what_its_weights_say(sparse, model, pruned):
    assert sparse.reference_check is None
    assert_outputs(sparse, model, pruned)


def test_the_metadata_describes_the_build(dense, sparse, model):
    plain, metadata = load_metadata(dense.directory), load_metadata(sparse.directory)
    assert (plain.build, metadata.build) == ("dense", "sparse")
    assert {decision.action for decision in plain.decisions} == {"dense"}
    assert plain.sparse_flops_share == 0
    assert 0.5 < metadata.sparse_flops_share < 1
    assert {decision.action for decision in metadata.decisions} == {"sparse", "dense"}
    assert metadata.spec["sparsity"]["block_shape"] == [4, 1]
    assert [spec.name for spec in metadata.inputs] == list(model[2])
    assert [call.index for call in metadata.calls] == list(range(len(metadata.calls)))
    assert metadata.versions["tvm_sparse"]
    assert set(metadata.required_features) or metadata.isa == "x86-64"
    # The calls listed are the calls made, in order: profiling matches them one by one.
    profile = load(sparse.directory, 2).profile(model[2], repeats=1)
    assert [(c.kernel, c.layer) for c in profile] == [(c.kernel, c.layer) for c in metadata.calls]


def test_weights_are_counted_as_they_lie_in_memory(sparse, dense):
    for artifact in (sparse, dense):
        metadata = load_metadata(artifact.directory)
        library = artifact.directory / "model.so"
        assert 0 < metadata.weights_bytes < library.stat().st_size


@pytest.mark.parametrize(
    "change",
    [
        {"key": "another-model"},
        {"sparsity": SparsitySpec(block_shape=(4, 1), sparsity_threshold=0.6)},
        {"target": "aarch64"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_the_build_changes_its_key(
    cache, sparse, model, pruned, no_compiler, change
):
    request = {"params": pruned, "sparsity": SPARSE, **change}
    with pytest.raises(AssertionError, match="compiled again"):
        build(cache, "sparse", model, **request)


def test_other_weights_under_the_same_spec_make_another_build(
    cache, sparse, model, pruned, no_compiler
):
    """Pruned by whatever method: the spec then only says that the weights come as they are."""
    name = "encoder/layer_._0/inner/kernel_w"
    equal, other = (pruned | {name: sign * pruned[name]} for sign in (1, -1))
    assert build(cache, "sparse", model, params=equal, sparsity=SPARSE) == sparse
    with pytest.raises(AssertionError, match="compiled again"):
        build(cache, "sparse", model, params=other, sparsity=SPARSE)


def test_an_edited_compiler_makes_new_builds(cache, sparse, model, no_compiler, monkeypatch):
    monkeypatch.setattr(build_cache, "code_fingerprint", lambda work: f"edited {work}")
    with pytest.raises(AssertionError, match="compiled again"):
        build(cache, "sparse", model, sparsity=SPARSE)


def test_threads_and_tolerances_do_not(cache, sparse, model, pruned, no_compiler):
    request = {"params": pruned, "sparsity": SPARSE, "threads": 1, "tolerances": (1.0, 1.0)}
    assert build(cache, "sparse", model, **request) == sparse


def test_a_dump_runs_the_phases_again(cache, dense, model, tmp_path):
    told = []
    build(cache, "dense", model, progress=told.append, dump_ir=str(tmp_path / "ir"))
    assert "dense build taken from the cache" not in told
    assert (tmp_path / "ir" / "03_simplify_fc_transpose.txt").is_file()


def test_a_build_that_differs_from_the_reference_is_not_kept(model, tmp_path):
    mod, params, inputs, outputs = model
    wrong = {name: value + np.float32(1) for name, value in outputs.items()}
    cache = Cache(tmp_path)
    with pytest.raises(CheckError, match="differs from TensorFlow in last_hidden_state: 100"):
        build(cache, "dense", (mod, params, inputs, wrong))
    assert cache.ls("lib") == []
    assert list((tmp_path / "lib").glob("*")) == []


def test_a_damaged_build_is_made_anew(model, pruned, tmp_path):
    warnings = []
    cache = Cache(tmp_path, on_warning=warnings.append)
    request = {"params": pruned, "sparsity": SPARSE}
    library = build(cache, "sparse", model, **request).directory / "model.so"
    size = library.stat().st_size
    library.write_bytes(library.read_bytes()[: size // 2])
    artifact = build(cache, "sparse", model, **request)
    assert "model.so" in warnings[0]
    assert_outputs(artifact, model, pruned)


@pytest.mark.parametrize("step", ["compile_model", "export_artifact"])
def test_an_interrupt_leaves_nothing(model, pruned, tmp_path, monkeypatch, step):
    def interrupt(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(build_cache, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, "sparse", model, params=pruned, sparsity=SPARSE)
    assert [path for path in tmp_path.glob("lib/*") if path.is_dir()] == []


def test_who_waits_takes_what_the_other_made(model, pruned, tmp_path, monkeypatch):
    """Two at once: one compiles, the other takes its build from the cache."""
    compiled, results, told = [], [], []
    waiting = threading.Event()
    compile_model = build_cache.compile_model

    def compile_when_the_other_waits(*args, **options):
        compiled.append(threading.current_thread().name)
        assert waiting.wait(60)
        return compile_model(*args, **options)

    def tell(line: str) -> None:
        told.append(line)
        # The lock says who holds it as soon as somebody has to wait.
        if "lock" in line or "wait" in line or "held" in line:
            waiting.set()

    monkeypatch.setattr(build_cache, "compile_model", compile_when_the_other_waits)

    def work() -> None:
        results.append(
            build(tmp_path, "sparse", model, params=pruned, sparsity=SPARSE, progress=tell)
        )

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(compiled) == 1, told
    assert len(results) == 2
    assert results[0] == results[1]
    assert "sparse build taken from the cache" in told


def test_builds_for_a_cpu_that_is_not_here(model, pruned, tmp_path):
    """Not run, so not checked; without a linker for it, refused in one line."""
    request = {"params": pruned, "sparsity": SPARSE, "target": "aarch64"}
    if find_linker("aarch64") is None:
        with pytest.raises(BuildError, match="no linker for aarch64 found"):
            build(tmp_path, "dense", model, **request)
        return
    artifact = build(tmp_path, "dense", model, **request)
    assert artifact.reference_check is None
    assert load_metadata(artifact.directory).isa == "aarch64"
