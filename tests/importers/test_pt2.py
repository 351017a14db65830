"""Archives of `torch.export.save`: read without PyTorch, refused in one line."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from pt2_archives import node, tensor, write_archive

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import (
    CheckpointError,
    ConfigError,
    FrontendError,
    TvmSparseError,
    UnsupportedOpError,
)
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.extents import Limits
from tvm_sparse.importers.torch.extents import find_extents
from tvm_sparse.importers.torch.from_aten import from_aten
from tvm_sparse.importers.torch.importer import import_model
from tvm_sparse.importers.torch.program import AtenNode, Program, Ref
from tvm_sparse.ir.dims import BATCH, SEQ_LEN
from tvm_sparse.progress import silent
from tvm_sparse.sources.pt2_archive import Pt2Archive
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.ir

WEIGHTS = {
    "words.weight": np.random.default_rng(0).normal(size=(50, 16)).astype(np.float32),
    "layer.0.dense.weight": np.random.default_rng(1).normal(size=(8, 16)).astype(np.float32),
}
NODES = [
    node("embedding.default", "rows", weight="p_words_weight", indices="input_ids"),
    node("linear.default", "dense", input="rows", weight="p_layer_0_dense_weight"),
    node("gelu.default", "out", self="dense"),
]
VALUES = {
    "rows": ("float32", (2, 4, 16)),
    "dense": ("float32", (2, 4, 8)),
    "out": ("float32", (2, 4, 8)),
}
INPUTS = {"input_ids": ("int64", (2, 4))}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "toy.pt2", NODES, INPUTS, VALUES, WEIGHTS, "out")


def load(path: Path, **spec):
    spec = ModelSpec(str(path), batch=2, seq_len=4, **spec)
    return import_model(spec, resolve_source(spec), silent)


def test_an_archive_becomes_a_module(archive):
    imported = load(archive)
    verify(imported, "torch")
    (ids,) = imported.inputs
    assert (ids.name, ids.dtype, ids.below) == ("input_ids", "int32", 50)
    assert set(imported.params) == {"words/weight", "layer_._0/dense/weight"}
    rows = WEIGHTS["words.weight"][imported.input_values["input_ids"]]
    dense = rows.astype(np.float64) @ WEIGHTS["layer.0.dense.weight"].T
    from scipy.special import erf

    wanted = dense / 2 * (1 + erf(dense / np.sqrt(2)))
    np.testing.assert_allclose(imported.output_values["output_0"], wanted, atol=1e-4)


def test_known_places_are_looked_up_and_fourier_transforms_are_products(tmp_path):
    """At inner axes, as windows of a sequence are cut; complex numbers stay in the importer."""
    places = {"as_optional_tensors": [{"as_none": True}, tensor("column"), tensor("features")]}
    nodes = [
        NODES[0],
        node("arange.start_step", "tokens", start=3, end=-1, step=-2),
        node("view.default", "column", self="tokens", size=[2, 1]),
        node("arange.default", "features", end=5),
        node("index.Tensor", "picked", self="rows", indices=places),
        node("_to_copy.default", "grown", self="picked"),
        node("_fft_c2c.default", "far", self="grown", dim=[1, 2], normalization=0, forward=True),
        node("view_as_real.default", "parts", self="far"),
        node("select.int", "out", self="parts", dim=3, index=0),
    ]
    values = {
        "rows": VALUES["rows"],
        "tokens": ("int64", (2,)),
        "column": ("int64", (2, 1)),
        "features": ("int64", (5,)),
        **dict.fromkeys(("picked", "out"), ("float32", (2, 2, 5))),
        **dict.fromkeys(("grown", "far"), ("complex64", (2, 2, 5))),
        "parts": ("float32", (2, 2, 5, 2)),
    }
    words = {"words.weight": WEIGHTS["words.weight"]}
    imported = load(write_archive(tmp_path / "toy.pt2", nodes, INPUTS, values, words, "out"))
    verify(imported, "torch")
    rows = words["words.weight"][imported.input_values["input_ids"]]
    wanted = np.fft.fftn(rows[:, 3::-2, :5], axes=(1, 2)).real
    np.testing.assert_allclose(imported.output_values["output_0"], wanted, atol=1e-5)
    # Nobody reads the imaginary part.
    assert imported.mod.script().count("R.matmul") == 4


def test_unknown_operators_are_told_all_at_once(tmp_path):
    strange = [
        *NODES[:2],
        node("fft_fft.default", "far", self="dense"),
        node("svd.default", "out", self="far"),
    ]
    values = {**VALUES, "far": VALUES["out"]}
    path = write_archive(tmp_path / "toy.pt2", strange, INPUTS, values, WEIGHTS, "out")
    with pytest.raises(UnsupportedOpError, match=r"2 ATen op.*fft_fft.default \(far\); svd"):
        load(path)


def test_a_result_that_pytorch_has_otherwise_is_refused(tmp_path):
    values = {**VALUES, "dense": ("float32", (2, 4, 9))}
    path = write_archive(tmp_path / "toy.pt2", NODES, INPUTS, values, WEIGHTS, "out")
    with pytest.raises(FrontendError, match=r"dense \(linear.default\).*in PyTorch float32"):
        load(path)


@pytest.mark.parametrize("size", [0, 10, 500, 3000])
def test_a_truncated_archive_is_refused(archive, size):
    archive.write_bytes(archive.read_bytes()[:size])
    with pytest.raises(CheckpointError, match="cannot be read: it is no zip file, or truncated"):
        load(archive)


def test_another_schema_is_refused(tmp_path):
    path = write_archive(tmp_path / "new.pt2", NODES, INPUTS, VALUES, WEIGHTS, "out", schema=9)
    with pytest.raises(CheckpointError, match="has version 9 of PyTorch's schema, 8 is read"):
        Pt2Archive(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("models/model.json", b"{", "is not valid JSON"),
        ("models/model.json", b"[1]", "has version None of PyTorch's schema"),
        ("models/other.json", b"{}", "holds no program"),
        ("byteorder", b"big", "in the order b'big'"),
        ("data/weights/weight_0", b"1234", "has 4 bytes, too few for its shape 50x16"),
        ("data/weights/model_weights_config.json", b'{"config": 3}', "config"),
        ("extra/tvm_sparse.json", b'{"name": 3}', "name"),
    ],
)
def test_a_damaged_archive_is_refused(archive, tmp_path, name, content, message):
    path = tmp_path / "damaged.pt2"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            if entry != f"toy/{name}":
                new.writestr(entry, old.read(entry))
        new.writestr(f"toy/{name}", content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_what_an_archive_decides_cannot_be_asked_for(archive, tmp_path):
    with pytest.raises(ConfigError, match="an archive is imported as it is"):
        load(archive, num_layers=1)
    with pytest.raises(FrontendError, match="ranges for --batch"):
        load(archive, is_open=True)
    spec = ModelSpec(str(archive))
    with pytest.raises(
        FrontendError, match="exported for inputs of 2x4: give --batch 2 --seq-len 4"
    ):
        import_model(spec, resolve_source(spec), silent)
    with pytest.raises(TvmSparseError, match="there is no such file") as refused:
        load(tmp_path / "none.pt2")
    assert refused.value.exit_code == 2


def open_program(*nodes: AtenNode, **tensors: list[int]):
    """Import nodes, of which the last one is the output, for any shape up to 4x20."""
    program = Program(
        [*nodes],
        ("ids",),
        nodes[-1].outputs,
        {"ids": (BATCH, SEQ_LEN)},
        {"ids": "int64"},
        tensors={name: name for name in tensors},
    )
    arrays = {name: np.array(value) for name, value in tensors.items()}
    return from_aten(program, arrays, {}, ["ids"], Limits(4, 20))[0]


TOKENS = AtenNode("arange.default", {"end": SEQ_LEN}, ("tokens",), (SEQ_LEN,), "int64")


def picked(x: str) -> list[AtenNode]:
    """Add what a constant index picks from a tensor of as many places as there are tokens."""
    arguments = {"x": Ref(x), "indices": [Ref("places")]}
    pick = AtenNode("index.Tensor", arguments, ("one",), (1,), "int64")
    total = {"x": Ref("ids"), "other": Ref("one")}
    return [pick, AtenNode("add.Tensor", total, ("out",), (BATCH, SEQ_LEN), "int64")]


@pytest.mark.parametrize(
    "source",
    [
        [TOKENS],
        [
            AtenNode(
                "sum.dim_IntList", {"x": Ref("ids"), "dim": [0]}, ("tokens",), (SEQ_LEN,), "int64"
            )
        ],
    ],
    ids=["known", "computed"],
)
def test_an_index_counts_from_the_end_of_no_axis_that_a_run_decides_about(source):
    """What the last of the most tokens is says nothing of the last of fewer."""
    open_program(*source, *picked("tokens"), places=[3])
    with pytest.raises(FrontendError, match=r"one .*an index from the end of seq_len places given"):
        open_program(*source, *picked("tokens"), places=[-1])


def test_an_extent_is_compared_with_in_no_run_but_its_own():
    equal = {"x": Ref("places"), "other": SEQ_LEN}
    nodes = [
        AtenNode("eq.Scalar", equal, ("same",), (2, 1), "bool"),
        AtenNode("add.Tensor", {"x": Ref("ids"), "other": Ref("same")}, ("out",), (), "int64"),
    ]
    with pytest.raises(FrontendError, match=r"same \(eq.Scalar\): .* the extent seq_len is"):
        open_program(*nodes, places=[[1], [2]])


def test_the_least_that_an_archive_takes_is_told():
    """PyTorch simplified with it; its own default least, 2, is none."""
    batch, length = ({"as_expr": {"expr_str": f"Symbol('s{at}')"}} for at in (0, 1))
    sizes = {"ids": [batch, length]}

    def find(shape: tuple[int, int], is_open: bool, least: int | None):
        ranges = {"s0": {"min_val": 2}, "s1": {"min_val": least, "max_val": 512}}
        return find_extents(sizes, ranges, shape, is_open, "model.pt2").symbols

    for least in (None, 0, 1, 2):
        assert find((300, 300), True, least) == {"s0": BATCH, "s1": SEQ_LEN}
    assert find((1, 8), False, 8) == {"s0": 1, "s1": 8}
    with pytest.raises(FrontendError, match="takes 8 or more, --seq-len from 1 on given"):
        find((4, 20), True, 8)
    with pytest.raises(FrontendError, match="takes 8 or more, --seq-len from 7 on given"):
        find((4, 7), False, 8)
    sizes["ids"] = [length, length]
    assert find((300, int("300")), False, 1) == {"s1": 300}
    with pytest.raises(FrontendError, match="a batch that is as large as the length"):
        find((4, 4), True, 1)
    sizes["ids"] = [batch, {"as_int": 3}, length]
    with pytest.raises(FrontendError, match=r"takes ids of \?x3x\?: only the first two axes"):
        find((4, 3), False, 1)
