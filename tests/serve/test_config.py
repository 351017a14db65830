"""The file that says what to serve: read once, refused in a line with the place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from request_mutations import OURS, THEIRS

from tvm_sparse.errors import ConfigError, TvmSparseError
from tvm_sparse.serve.address_config import GrpcConfig, HttpConfig
from tvm_sparse.serve.check import check_config
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.config_file import read_config, single, with_address
from tvm_sparse.serve.model_config import ModelConfig, QueueConfig

pytestmark = pytest.mark.unit


def write(folder: Path, text: str, model: object = "somewhere") -> Path:
    path = folder / "serve.yaml"
    path.write_text(text.replace("DIR", str(model)))
    return path


def test_a_whole_file(tmp_path) -> None:
    config, notes = read_config(write(tmp_path, OURS))
    assert notes == []
    assert (config.http.host, config.http.port, config.http.max_body_mb) == ("127.0.0.1", 0, 8)
    assert config.grpc == GrpcConfig("127.0.0.1", 8001, 64)
    assert config.models[0].queue == QueueConfig(7, 100, 50)
    assert [one.path for one in config.models] == ["/predict/embed", "/predict/all"]
    assert config.threads() == (1, 1)


def test_a_file_of_deepsparse(tmp_path) -> None:
    config, notes = read_config(write(tmp_path, THEIRS))
    assert notes == [
        "engine_thread_pinning, batch_size, bucketing, kwargs.engine given: without a meaning "
        "here, left out"
    ]
    assert (config.cores, config.streams, config.http.port, config.grpc) == (1, 1, 5543, None)
    assert config.models == (
        ModelConfig("unpruned", "somewhere", "question-answering", "/unpruned/predict"),
        ModelConfig(
            "feelings", "somewhere", "sentiment-analysis", "/predict/feelings", options={"top_k": 2}
        ),
    )
    alone = "endpoints: [{task: ner, model: a/b}]"
    (model,) = read_config(write(tmp_path, alone))[0].models
    assert (model.name, model.path) == ("b", "/predict")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: []", r"models: Expected array of length >= 1"),
        ("{}", r"missing required field models"),
        ("[]", r"Expected object, got array"),
        ("models: [{name: a}]", r"models\[0\]: .*missing required field model"),
        ("models: [{name: a/b, model: d}]", r"models\[0\].name: Expected str matching"),
        ("models: [{name: a, model: d, queu: 3}]", r"models\[0\].queu: unknown field"),
        (
            "models: [{name: a, model: d, queue: {max_size: 0}}]",
            r"models\[0\].queue.max_size: Expected int >= 1, got 0",
        ),
        (
            "models: [{name: a, model: d}, {name: a, model: d}]",
            r"models: two have the name a: give each its own",
        ),
        (
            "models: [{name: a, model: d}, {name: a-tensors, model: d}]",
            r"models: two have the name a-tensors",
        ),
        (
            "models: [{name: a, model: d, route: x}, {name: b, model: d, route: /x/}]",
            r"models: two have the route /predict/x",
        ),
        ("http: {port: 70000}\nmodels: [{name: a, model: d}]", r"http.port: Expected int <= 65535"),
        ("streams: fast\nmodels: [{name: a, model: d}]", r"streams: "),
        ("grpc: {socket: 1}\nmodels: [{name: a, model: d}]", r"grpc.socket: unknown field"),
        (
            "http: {port: 8001}\ngrpc: {}\nmodels: [{name: a, model: d}]",
            r"grpc.port: 8001 given, which is http.port: give another",
        ),
        ("endpoints: [{model: 'zoo:bert'}]", r"endpoints\[0\].model: zoo:bert given: that store"),
        ("endpoints: [{model: d, sparsity: 1}]", r"endpoints\[0\].sparsity: unknown field"),
        ("endpoints: [3]", r"endpoints\[0\]: a mapping is needed"),
        ("models: [", r"is no YAML file"),
    ],
)
def test_what_is_refused(tmp_path, text, message) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        read_config(write(tmp_path, text))
    assert str(tmp_path / "serve.yaml") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_more_streams_than_cores() -> None:
    config = ServeConfig((ModelConfig("a", "b"),), cores=1, streams=2)
    with pytest.raises(ConfigError, match=r"^streams 2 given: they share 1 core"):
        config.threads()
    with pytest.raises(ConfigError, match=r"^workers 2 given: they share 1 core"):
        ServeConfig((ModelConfig("a", "b"),), cores=1, workers=2).threads()


def test_addresses_of_the_command_line() -> None:
    config = ServeConfig((ModelConfig("a", "b"),))
    assert with_address(config, None, None) == config
    both = with_address(config, "::1", 7, 8)
    assert (both.http, both.grpc) == (HttpConfig("::1", 7), GrpcConfig("::1", 8))
    assert with_address(config, "::1", None).grpc is None
    assert with_address(both, None, None, 9).grpc == GrpcConfig("::1", 9)


def test_models_are_looked_at(tmp_path, artifacts) -> None:
    config, _ = read_config(write(tmp_path, OURS, artifacts["encoder"]))
    assert check_config(config) == [
        "embed: tiny, dense, sentence-embedding",
        "tokens: tiny, dense, feature-extraction",
    ]
    with pytest.raises(ConfigError, match=r"^models\[0\].task: task ner given, tiny is a model"):
        check_config(single(str(artifacts["encoder"]), "ner"))
    with pytest.raises(TvmSparseError, match="somewhere"):
        check_config(single("somewhere", None))


@pytest.mark.parametrize(
    ("directory", "name"), [("a/b c", "b-c"), ("/", "model"), ("x/.-y", "y"), ("a/é", "model")]
)
def test_the_name_of_a_directory(directory, name) -> None:
    (model,) = single(directory, None).models
    assert model.name == name


@pytest.mark.parametrize(("file", "count"), [("four.yaml", 4), ("nineteen.yaml", 19)])
def test_files_of_the_examples(file, count) -> None:
    """A build is called after its model: that is how `make_builds.sh` knows what to make."""
    config, notes = read_config(Path(__file__).parents[2] / "examples/serve" / file)
    assert (len(config.models), notes) == (count, [])
    for one in config.models:
        assert one.model == f"builds/{one.name}"
        assert re.fullmatch(r"(base|minilm|mini)-(dense|\d\d-\d+x\d+)", one.name)
