"""`tvm-sparse compare`: an exported build beside other engines, installed or not."""

from __future__ import annotations

import pytest
from command_line import write_config
from tiny_artifact import edit_metadata

from tvm_sparse.api.builds import compile, export
from tvm_sparse.api.comparison import compare
from tvm_sparse.api.models import load_model, sparsify
from tvm_sparse.bench.peers.engine import ENGINES
from tvm_sparse.bench.peers.record import load_peers_record
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.errors import ArtifactError
from tvm_sparse.runtime.metadata import load_metadata

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def builds(tiny):
    model = load_model(str(tiny.directory), weights="random", seq_len=16, cache_dir=tiny.cache_dir)
    # A threshold decides without timing kernels.
    pruned = sparsify(model, sparsity=0.8, block_shape=(4, 1), sparsity_threshold=0.5)
    return compile(pruned, threads=1)


@pytest.fixture(scope="module")
def artifact(builds, tmp_path_factory):
    return export(builds, tmp_path_factory.mktemp("artifact") / "build", "sparse")


@pytest.mark.parametrize("build", ["sparse", "dense"])
def test_an_artifact_beside_another_engine(build, builds, tiny, invoke, tmp_path) -> None:
    artifact = export(builds, tmp_path / "build", build)
    out, chart = tmp_path / "peers.json", tmp_path / "peers.png"
    result = invoke(
        *("compare", artifact, "--against", "onnxruntime", "--threads", "1", "--time", "0.05"),
        *("--cache-dir", tiny.cache_dir, "--json", out, "--chart", chart, "-q"),
    )
    assert (result.code, result.err) == (0, "")
    record = load_peers_record(out)
    labels = [found.label for found in record.results]
    ours = ["tvm_sparse, dense", *(["tvm_sparse, 80.1% 4x1"] if build == "sparse" else [])]
    assert labels == [*ours, ENGINES["onnxruntime"].label]
    for found in record.results[:-1]:
        assert found.status == "measured"
        assert found.max_absolute_error < 1e-4
        assert found.label in result.out
    # Whether peers are installed is the environment's business; both must end well.
    missing = ENGINES["onnxruntime"].missing()
    assert record.results[-1].status == ("not installed" if missing else "measured")
    assert chart.stat().st_size > 1000
    assert "weights: seeded random weights" in result.out


def test_wrong_use_is_one_line(artifact, tiny, invoke, tmp_path) -> None:
    for arguments, message in (
        ((artifact, "--against", "deepsparse"), "engine 'deepsparse' given: use one of"),
        ((tmp_path / "none",), "no artifact directory"),
        ((artifact, "--time", "0"), "time 0 given"),
        ((artifact, "--json", tmp_path / "no" / "file"), "make it first"),
        ((artifact, "--model", tmp_path / "gone"), "there is no such directory"),
    ):
        result = invoke("compare", *arguments, "--cache-dir", tiny.cache_dir, "-q")
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("error: ")
        assert message in result.err
        assert result.err.count("\n") == 1


def test_another_model_is_refused(artifact, tiny, tmp_path) -> None:
    other = write_config(tmp_path / "other", intermediate_size=96)
    with pytest.raises(ArtifactError, match="was made from other weights"):
        compare(artifact, (), model=str(other), cache_dir=tiny.cache_dir)


def test_an_artifact_that_computes_something_else_is_refused(artifact, tiny, tmp_path) -> None:
    """Its metadata names the model's own weights, which it was pruned from."""
    spec = load_metadata(artifact).spec
    spec["sparsity"]["seed"] += 1
    changed = tmp_path / "changed"
    changed.mkdir()
    for file in artifact.iterdir():
        (changed / file.name).symlink_to(file)
    edit_metadata(changed, spec=spec)
    with pytest.raises(ArtifactError, match="computes something else than"):
        compare(*(changed, ()), bench=BenchSpec(iterations=1), threads=1, cache_dir=tiny.cache_dir)
