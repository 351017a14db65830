"""What a command will need is looked for before its work; what it found is told whatever fails."""

from __future__ import annotations

import errno
import os

import pytest
from example_record import example_record
from tiny_bert import CONFIG, TEXTS, bert_tensors, write_checkpoint

from tvm_sparse.cli import results

pytestmark = pytest.mark.unit

PRUNE = ("prune", "MODEL", "-o", "OUT", "--sparsity", ".5")


@pytest.mark.parametrize(
    "words",
    [
        (*PRUNE, "--method=second-order"),
        (*PRUNE, "--method=magnitude", "--schedule=auto"),
        (*PRUNE, "--method=magnitude", "--finetune=distill"),
        ("analyze", "MODEL", "--sensitivity", "TEXTS"),
        ("evaluate", "MODEL", "--against", "MODEL", "--text", "TEXTS"),
        ("what-if", "MODEL", "--fidelity", "TEXTS"),
    ],
    ids=" ".join,
)
def test_without_a_tokenizer_nothing_is_imported(words, invoke, tmp_path, cache_dir) -> None:
    model = write_checkpoint(tmp_path / "model", bert_tensors(CONFIG), CONFIG)
    (model / "vocab.txt").unlink()
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(TEXTS))
    places = {"MODEL": model, "TEXTS": texts, "OUT": tmp_path / "out"}
    length = ("--seq-len", "16", "--cache-dir", cache_dir)
    result = invoke(*(places.get(word, word) for word in words), *length)
    assert result.code == 2
    assert "tokenizer.json or vocab.txt" in result.err.splitlines()[-1]
    assert not list(cache_dir.glob("ir/*"))


@pytest.mark.parametrize("failing", ["write_json", "print_wide"])
def test_what_was_found_is_told_and_kept(failing, tmp_path, monkeypatch, capsys) -> None:
    def fail(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(results, failing, fail)
    path = tmp_path / "record.json"
    with pytest.raises(OSError, match="No space left"):
        results.report_records([example_record()], False, str(path))
    assert ("median" in capsys.readouterr().out) == (failing == "write_json")
    assert path.exists() == (failing == "print_wide")
