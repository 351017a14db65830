import json

import pytest

pytestmark = pytest.mark.e2e
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "the", "red", "blue", "bird", "fish", "sees"]
TEXTS = ["the red bird sees a fish", "a blue fish", "the bird", "a bird sees the blue bird"]


@pytest.fixture
def files(tmp_path):
    """Texts, labels and a tokenizer, which the seeded model does not have."""
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    (tmp_path / "labels.txt").write_text("0\n1\n0\n1\n")
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    (tmp_path / "binary.txt").write_bytes(b"\x00\x01\x02")
    (tmp_path / "empty.txt").write_text("\n\n")
    return tmp_path


def flags(tiny, files, *more):
    return (
        *("evaluate", tiny.directory, "--against", tiny.directory, "--tokenizer", files),
        *("--text", files / "texts.txt", "--seq-len", 16, "--threads", 1),
        *("--cache-dir", tiny.cache_dir, *more),
    )


def test_a_model_against_itself(invoke, tiny, files):
    result = invoke(*flags(tiny, files, "--json", files / "record.json", "--limit", 3))
    assert result.code == 0, result.err
    assert "mean cosine of 1.0000" in result.out
    assert "are made up: this says nothing about a trained model" in result.out
    assert "running the pruned model on 3 texts" in result.err
    record = json.loads((files / "record.json").read_text())
    assert record["schema_version"] == 1
    assert record["texts"] == 3
    assert record["measures"]["loss"] == 0
    assert record["reference"]["seeded"] is True
    assert record["environment"]["threads"] == 1


def test_exported_builds(invoke, tiny, files):
    for build in ("dense", "sparse"):
        flags_of_export = (*tiny.flags, "--sparsity", "0.5", "-o", files / build, "--build", build)
        assert invoke("export", *flags_of_export).code == 0
    result = invoke(
        *("evaluate", files / "sparse", "--against", files / "dense", "--tokenizer", files),
        *("--text", files / "texts.txt", "--threads", 1, "-q"),
    )
    assert result.code == 0, result.err
    assert result.err == ""
    assert "mean cosine of 1.0000" in result.out  # the same weights, in other kernels


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--text", "{files}/binary.txt"), "no UTF-8 text"),
        (("--text", "{files}/empty.txt"), "holds no text"),
        (("--text", "{files}/none.txt"), "cannot be read"),
        (("--labels", "{files}/vocab.txt"), "11 labels for 4 texts"),
        (("--labels", "{files}/labels.txt"), "--labels given for a model for encoder"),
        (("--limit", "0"), "limit 0 given"),
        (("--seq-len", "0"), "seq-len 0 given"),
        (("--tokenizer", "{files}/nowhere"), "has no tokenizer"),
        (("--json", "{files}"), "that is a directory"),
        (("--against", "{files}/nowhere"), "there is no such directory"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(invoke, tiny, files, change, message):
    change = [part.format(files=files) for part in change]
    result = invoke(*flags(tiny, files, *change))
    assert result.code == 2
    last = result.err.strip().splitlines()[-1]
    assert message in last
    assert last.startswith("error: ")


def test_text_is_needed(invoke, tiny):
    result = invoke("evaluate", tiny.directory, "--against", tiny.directory)
    assert result.code == 2
    assert "Missing option '--text'" in result.err
