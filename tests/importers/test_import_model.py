"""Importing through the cache: the child process, its errors, its death, and not needing it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CacheError, CheckpointError
from tvm_sparse.importers.import_model import import_model, ir_key
from tvm_sparse.importers.load_model import load_cached_model
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.e2e


def spec_of(directory, **fields) -> ModelSpec:
    return ModelSpec(str(directory), batch=2, seq_len=8, **fields)


@pytest.fixture
def store(cache_dir) -> Cache:
    return Cache(cache_dir)


def left_behind(store: Cache) -> list[str]:
    room = store.root / "ir"
    return sorted(p.name for p in room.iterdir()) if room.is_dir() else []


def test_an_import_is_written_once_and_loads(config_dir, store):
    directory = config_dir(architectures=["BertForQuestionAnswering"])
    spec = spec_of(directory, micro_batch=1)
    source = resolve_source(spec)
    lines: list[str] = []
    entry = import_model(spec, source, store, lines.append)
    assert lines[0] == "starting TensorFlow"
    assert any("freezing" in line for line in lines)

    assert set(entry.manifest["files"]) == {"module.json", "params.safetensors", "reference.npz"}
    model = load_cached_model(entry.key, store)
    facts = model.facts
    assert facts.architecture == "BertForQuestionAnswering"
    assert facts.task == "question-answering"
    # The classes' defaults stand for keys that config.json lacks.
    assert facts.config["layer_norm_eps"] == 1e-12
    assert facts.weights.kind == "random"
    assert facts.weights.fingerprint == source.fingerprint
    assert facts.spec == spec.with_(micro_batch=1, importer="tensorflow")
    assert facts.inputs[0] == TensorSpec("input_ids", (2, 8), "int32", below=96)
    assert [tensor.name for tensor in facts.outputs] == ["start_logits", "end_logits"]
    assert facts.versions["tensorflow"].startswith("2.")
    assert facts.key == entry.key

    main = model.mod["main"]
    assert main.attrs["micro_batches"] == 2
    assert main.params[0].ty.shape.values[0] == 1
    names = [var.name for var in main.params]
    assert names[: int(main.attrs["num_input"])] == list(model.reference.inputs)
    assert set(names[len(model.reference.inputs) :]) <= set(model.params)
    assert list(model.reference.outputs) == ["start_logits", "end_logits"]
    assert model.reference.inputs["input_ids"].dtype == np.int32
    assert model.reference.outputs["start_logits"].shape == (2, 8)

    def no_child(*arguments):
        raise AssertionError("a second import started a process")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tvm_sparse.importers.import_model.call", no_child)
        assert import_model(spec, source, store).path == entry.path
        # The entry is the same when its weights are asked for explicitly; what is said is not.
        asked = spec.with_(weights="random")
        found = import_model(asked, resolve_source(asked), store)
    assert found.path == entry.path
    assert found.manifest["weights"]["detail"] == "seeded random weights (seed 0): asked for"
    assert facts.weights.detail.endswith("has no weights")


POISONED = """
    import sys
    class Poison:
        def find_spec(self, name, path=None, target=None):
            if name.split(".")[0] in ("tensorflow", "keras", "tf_keras", "transformers"):
                raise AssertionError(f"{name} was imported")
    sys.meta_path.insert(0, Poison())
    from tvm_sparse.cache.store import Cache
    from tvm_sparse.config.model import ModelSpec
    from tvm_sparse.importers.load_model import load_model
    spec = ModelSpec(sys.argv[1], batch=2, seq_len=8)
    print(len(load_model(spec, Cache()).params))
"""


def test_pytorch_is_never_imported_and_tensorflow_once(config_dir, store, tmp_path, monkeypatch):
    """PyTorch's CUDA build would abort the process; this one aborts it too."""
    package = tmp_path / "site" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import os; os.abort()")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    spec = spec_of(config_dir())
    entry = import_model(spec, resolve_source(spec), store)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(POISONED), spec.model],
        env={**os.environ, "TVM_SPARSE_CACHE": str(store.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{len(load_cached_model(entry.key, store).params)}\n"


def test_a_damaged_entry_is_imported_again(config_dir, cache_dir):
    warnings: list[str] = []
    store = Cache(cache_dir, on_warning=warnings.append)
    spec = spec_of(config_dir())
    source = resolve_source(spec)
    entry = import_model(spec, source, store)
    params = entry.file("params.safetensors")
    whole = params.read_bytes()
    params.write_bytes(whole[:-1])
    again = import_model(spec, source, store)
    assert params.read_bytes() == whole
    assert again.key == entry.key
    assert "params.safetensors is truncated" in warnings[0]


@pytest.mark.unit
def test_the_key_follows_what_the_module_depends_on(config_dir):
    directory = config_dir()

    def key(**changes):
        spec = ModelSpec(str(directory)).with_(**changes)
        return ir_key(spec, resolve_source(spec))

    keys = {
        key(),
        key(batch=2),
        key(batch=2, micro_batch=1),
        key(seq_len=64),
        key(inputs="single"),
        key(seed=1),
        key(num_layers=1),
    }
    assert len(keys) == 7
    assert key() in keys
    # Without a word about it the whole batch is one, on whatever machine.
    assert key(batch=2, micro_batch=2) in keys


def test_an_error_of_the_child_is_raised_here(config_dir, store, tmp_path):
    """Sound files that do not fit the config: only the child can find out."""
    from safetensors.numpy import save_file

    directory = config_dir(architectures=["BertForMaskedLM"])
    tensors = {"bert.embeddings.word_embeddings.weight": np.zeros((96, 32), np.float32)}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    spec = spec_of(directory)
    with pytest.raises(CheckpointError, match=r"lacks \d+ weights that logits of TFBert") as caught:
        import_model(spec, resolve_source(spec), store)
    assert "\n" not in str(caught.value)
    assert left_behind(store) == []


def test_a_full_disk_in_the_child_is_a_cache_error(config_dir, store, monkeypatch):
    def child_without_space(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(store.root / "ir"))

    monkeypatch.setattr("tvm_sparse.importers.import_model.call", child_without_space)
    spec = spec_of(config_dir())
    with pytest.raises(CacheError, match="disk full"):
        import_model(spec, resolve_source(spec), store)
    assert left_behind(store) == []


IMPORTER = """
    import sys
    from tvm_sparse.cache.store import Cache
    from tvm_sparse.config.model import ModelSpec
    from tvm_sparse.importers.import_model import import_model
    from tvm_sparse.sources.source import resolve_source
    spec = ModelSpec(sys.argv[1], batch=2, seq_len=8)
    import_model(spec, resolve_source(spec), Cache(), lambda line: print(line, flush=True))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_import_that_is_ended_leaves_nothing(config_dir, store, how):
    """By Ctrl-C, and by a kill that nobody can catch."""
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(IMPORTER), str(config_dir())],
        env={**os.environ, "TVM_SPARSE_CACHE": str(store.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    hang_guard = threading.Timer(120, parent.kill)
    hang_guard.start()
    with parent:
        assert parent.stdout.readline() == "starting TensorFlow\n"
        (worker,) = children_of(parent.pid)
        parent.send_signal(how)
        parent.wait()
    hang_guard.cancel()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "the worker still runs"
        time.sleep(0.05)
    store.sweep()  # what a kill leaves is swept by the next writer
    assert left_behind(store) == []


def children_of(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]
