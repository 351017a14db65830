"""`tvm-sparse prune` on a small checkpoint: what it writes is what transformers loads."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import numpy as np
import pytest
from command_line import Sandbox
from safetensors.numpy import load_file

import tvm_sparse
from tvm_sparse.api.models import sparsify
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError, ConfigError, InputError, SparsityError
from tvm_sparse.model.model import Model
from tvm_sparse.pruning.calibration import load_calibration
from tvm_sparse.pruning.moments import MomentCollector
from tvm_sparse.sparsity.bsr import block_mask

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

WORD_LIST = "red blue green fast slow boat road sky tree house bird song night day rain wind"
WORDS = WORD_LIST.split(" ")
CONFIG = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 5 + len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
SEQ_LEN = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prune")


@pytest.fixture(scope="module")
def text(folder: Path) -> Path:
    rng = random.Random(0)
    lines = [" ".join(rng.choices(WORDS, k=rng.randint(4, 20))) for _ in range(96)]
    path = folder / "text.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    """A checkpoint in PyTorch's names, made by pruning seeded weights to sparsity 0."""
    seeded = folder / "seeded"
    seeded.mkdir()
    (seeded / "config.json").write_text(json.dumps(CONFIG))
    model = load(seeded, folder, weights="random")
    path = tvm_sparse.prune(model, method="magnitude", sparsity=0.0).save(folder / "checkpoint")
    (path / "pruning.json").unlink()
    (path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS])
    )
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling" / "config.json").write_text("{}")
    (path / "pytorch_model.bin").write_bytes(b"the same weights once more")
    return path


@pytest.fixture(scope="module")
def model(checkpoint: Path, folder: Path) -> Model:
    return load(checkpoint, folder)


def load(directory: Path, folder: Path, **spec) -> Model:
    fields = {"weights": "checkpoint", "seq_len": SEQ_LEN, **spec}
    return tvm_sparse.load_model(ModelSpec(str(directory), **fields), cache_dir=folder / "cache")


def test_seeded_weights_are_written_under_names_that_load(folder, checkpoint, model):
    # transformers loaded them: a wrong name or orientation would have given other values.
    seeded = load(folder / "seeded", folder, weights="random")
    assert model.facts.weights.kind == "checkpoint"
    for name, values in seeded.params.items():
        np.testing.assert_array_equal(model.params[name], values, err_msg=name)


def test_activations_are_those_of_the_model(model, checkpoint, text):
    calibration = load_calibration(str(checkpoint), str(text), 8, SEQ_LEN, CONFIG["vocab_size"])
    names = [layer.name for layer in model.layers if "layer_._0" in layer.name]
    moments = MomentCollector(model).collect(model.params, names, calibration, full=True)
    query, key = (next(n for n in names if f"/{part}/" in n) for part in ("query", "key"))
    assert moments[query] is moments[key]
    # The first layer's input: the embeddings, by numpy.
    params = model.params
    arrays = calibration.tokens.arrays

    def table(part: str) -> np.ndarray:
        return next(v for n, v in params.items() if part in n and "embeddings" in n)

    words = table("word_embeddings")[arrays["input_ids"]]
    sums = words + table("position_embeddings")[:SEQ_LEN] + table("token_type_embeddings")[0]
    mean, var = sums.mean(-1, keepdims=True), sums.var(-1, keepdims=True)
    hidden = (sums - mean) / np.sqrt(var + 1e-12) * table("gamma") + table("beta")
    rows = hidden[arrays["attention_mask"] > 0]
    assert moments[query].tokens == len(rows) == int(arrays["attention_mask"].sum())
    np.testing.assert_allclose(moments[query].hessian, rows.T @ rows, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(moments[query].norms_squared, (rows**2).sum(0), rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "fields"),
    [
        ("magnitude", {"schedule": "global"}),
        ("wanda", {"block_shape": (4, 1), "sequential": False}),
        ("second-order", {"block_shape": (4, 1)}),
        ("second-order", {"schedule": "global", "block_shape": (2, 2)}),
        ("second-order", {"schedule": "auto"}),
    ],
)
def test_the_budget_is_met_and_nothing_else_changes(model, text, method, fields):
    before = {name: value.copy() for name, value in model.params.items()}
    pruned = tvm_sparse.prune(
        model, method=method, sparsity=0.75, calibration=str(text), samples=24, **fields
    )
    layers = {layer.name for layer in pruned.layers}
    assert len(layers) == 12
    blocks = sum(layer.blocks for layer in pruned.report.layers)
    zeros = sum(layer.zero_blocks for layer in pruned.report.layers)
    assert zeros == round(0.75 * blocks)
    for name, values in model.params.items():
        np.testing.assert_array_equal(values, before[name])
        if name not in layers:
            assert pruned.model.params[name] is values
    for layer in pruned.layers:
        mask = block_mask(layer.load(pruned.model.params), fields.get("block_shape", (1, 1)))
        entry = next(e for e in pruned.report.layers if e.weight == layer.canonical_name)
        assert entry.zero_blocks == (~mask).sum()


def test_the_command_writes_a_directory_that_loads(checkpoint, folder, text, model):
    sandbox = Sandbox(folder)
    out = folder / "pruned"
    arguments = ("prune", checkpoint, "-o", out, "--sparsity", "0.7", "--bs-r", "4")
    shared = ("--seq-len", str(SEQ_LEN), "--cache-dir", folder / "cache", "--samples", "32")
    done = sandbox.run(*arguments, *shared, "--calibration", text, "-v")
    assert done.returncode == 0, done.stderr
    assert "12 layers pruned by second-order, 4x1 blocks, block sparsity 0.69" in done.stdout
    assert f"calibrated on {text}: 32 passages" in done.stdout
    assert f"written to {out}" in done.stdout
    names = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    assert names == [
        "1_Pooling/config.json",
        "README.md",
        "config.json",
        "model.safetensors",
        "pruning.json",
        "vocab.txt",
    ]
    report = json.loads((out / "pruning.json").read_text())
    assert report["files"] == [name for name in names if name != "pruning.json"]
    assert report["spec"]["method"] == "second-order"
    assert report["weights"]["fingerprint"] == model.facts.weights.fingerprint
    assert all(layer["output_error"] < 1 for layer in report["layers"])

    old = load_file(checkpoint / "model.safetensors")
    new = load_file(out / "model.safetensors")
    assert old.keys() == new.keys()
    changed = {name for name in old if not np.array_equal(old[name], new[name])}
    assert len(changed) == 12
    assert all(name.startswith("encoder.layer.") for name in changed)
    # transformers loads it, and the zeros stand in rows of 4 outputs.
    loaded = load(out, folder)
    for layer in loaded.layers:
        if "encoder" in layer.name:
            mask = block_mask(layer.load(loaded.params), (4, 1))
            assert (~mask).sum() == round(mask.size * 0.7)
    assert sparsify(loaded, block_shape=(4, 1)).sparsity.prune == "none"

    # An older result is replaced, anything else is not.
    again = sandbox.run(*arguments, *shared, "--method", "magnitude", "-q")
    assert again.returncode == 0, again.stderr
    assert json.loads((out / "pruning.json").read_text())["spec"]["method"] == "magnitude"
    (out / "notes.txt").write_text("mine")
    refused = sandbox.run(*arguments, *shared)
    assert refused.returncode == 2
    assert "holds other files than a pruned model's (notes.txt)" in refused.stderr
    assert refused.stderr.count("\n") <= 2


def test_ctrl_c_leaves_nothing(checkpoint, folder, text, model):
    sandbox = Sandbox(folder)
    home = folder / "interrupted"
    home.mkdir()
    process = sandbox.popen(
        *("prune", checkpoint, "-o", home / "out", "--sparsity", "0.7"),
        *("--seq-len", str(SEQ_LEN), "--cache-dir", folder / "cache", "--calibration", text),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("pruning layer by layer"):
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert list(home.iterdir()) == []


def test_the_built_in_text_is_used_and_named(model, folder):
    pruned = tvm_sparse.prune(model, method="wanda", sparsity=0.5)
    assert pruned.report.calibration.source == "built-in text"
    assert pruned.report.calibration.passages >= 50


def test_refusals(model, folder, text, tmp_path):
    empty, binary, schedule = tmp_path / "empty", tmp_path / "binary", tmp_path / "s.yaml"
    empty.write_text("\n \n")
    binary.write_bytes(b"\x00\x01\xff")
    schedule.write_text("nowhere/*: 0.5\n")
    for error, said, fields in [
        (InputError, "holds no text", {"sparsity": 0.5, "calibration": str(empty)}),
        (InputError, "no UTF-8 text", {"sparsity": 0.5, "calibration": str(binary)}),
        (ConfigError, "sparsity 1.5 given", {"sparsity": 1.5}),
        (ConfigError, "N blocks of every M stay", {"n_m": (5, 4)}),
        (ConfigError, "exclude each other", {"n_m": (2, 4), "sparsity": 0.5}),
        (ConfigError, "no sparsity given", {}),
        (ConfigError, "schedule 'some' given", {"sparsity": 0.5, "schedule": "some"}),
        (
            ConfigError,
            "matches none of the 12 layers",
            {"sparsity": 0.5, "schedule": str(schedule)},
        ),
        (SparsityError, "matches none of the", {"sparsity": 0.5, "include": ("nowhere/*",)}),
        (SparsityError, "block 5x1 given", {"sparsity": 0.5, "block_shape": (5, 1)}),
        (SparsityError, "M must divide", {"n_m": (2, 5)}),
    ]:
        with pytest.raises(error, match=said):
            tvm_sparse.prune(model, **{"method": "magnitude", "samples": 4, **with_text(fields)})
    auto = load(folder / "seeded", folder, weights="auto")
    with pytest.raises(ConfigError, match="pruning random weights tells nothing"):
        tvm_sparse.prune(auto, sparsity=0.5)
    random_weights = load(folder / "seeded", folder, weights="random")
    with pytest.raises(ConfigError, match="random weights, which have no tokenizer"):
        tvm_sparse.prune(random_weights, sparsity=0.5, calibration=str(text))
    pruned = tvm_sparse.prune(random_weights, sparsity=0.5, samples=4)
    assert pruned.report.calibration.source == "random ids"


def with_text(fields: dict) -> dict:
    """Text is read by the methods that need it."""
    return {**fields, "method": "wanda"} if "calibration" in fields else fields


def test_a_source_that_cannot_be_rewritten_is_refused(model, checkpoint, tmp_path):
    pruned = tvm_sparse.prune(model, method="magnitude", sparsity=0.5)
    with pytest.raises(ConfigError, match="is the model to be pruned"):
        pruned.save(checkpoint)
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ConfigError, match="is no directory"):
        pruned.save(file)
    weights = checkpoint / "model.safetensors"
    content = weights.read_bytes()
    try:
        other = bytearray(content)
        other[-64 * 32 * 4 * 8 :] = bytes(64 * 32 * 4 * 8)
        weights.write_bytes(other)
        with pytest.raises(CheckpointError, match="no tensor of the checkpoint holds the weight"):
            pruned.save(tmp_path / "out")
    finally:
        weights.write_bytes(content)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]
