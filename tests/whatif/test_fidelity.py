from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
from tiny_bert import CONFIG, TEXTS, bert_tensors, write_checkpoint

from tvm_sparse.cache.store import Cache
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.host import detect_host
from tvm_sparse.target import resolve_target
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif import fidelity_points as module
from tvm_sparse.whatif.fidelity import FidelityQuestion, check_judged
from tvm_sparse.whatif.fidelity_answer import fidelity_answer
from tvm_sparse.whatif.fidelity_points import fidelity_points, places_of
from tvm_sparse.whatif.grid import Point
from tvm_sparse.whatif.rounded_point import NO_BLOCKS
from tvm_sparse.whatif.study import FidelityPoint
from tvm_sparse.whatif.subject import Fill, Subject

SETTING = Setting(seq_len=16, batch=4, threads=1, micro_batch=4)


@dataclass(frozen=True)
class Result:
    """What `fidelity_answer` reads of a point."""

    point: Point
    speedup: float


def result(block, sparsity, speedup):
    return Result(Point(SETTING, block, sparsity), speedup)


def found(method, block, sparsity, fidelity):
    return FidelityPoint(method, block, sparsity, fidelity)


@pytest.mark.unit
def test_the_answer_names_the_fastest_point_by_fidelity():
    results = [result((1, 1), 0.5, 1.5), result((1, 1), 0.8, 3.0), result((4, 1), 0.8, 4.0)]
    points = [
        found("magnitude", "1x1", 0.5, 0.96),
        found("second-order", "1x1", 0.5, 0.995),
        found("magnitude", "1x1", 0.8, 0.91),
        found("magnitude", "4x1", 0.8, 0.5),
        found("magnitude", "16x1", 0.8, 0.99),  # of no point of the study
    ]
    answer = fidelity_answer(results, points, "cosine")
    assert answer.topic == "accuracy"
    assert "0.99 or more: second-order 1x1 at 50.0%, 1.50x dense" in answer.text
    assert "0.9 or more: magnitude 1x1 at 80.0%, 3.00x dense" in answer.text
    assert set(answer.facts["fastest"]) == {"0.99", "0.95", "0.9"}


@pytest.mark.unit
def test_the_answer_says_when_nothing_is_close():
    results = [result((1, 1), 0.8, 3.0), result((1, 1), 0.1, 0.8)]
    points = [found("magnitude", "1x1", 0.8, 0.4), found("magnitude", "1x1", 0.1, 0.999)]
    text = fidelity_answer(results, points[:1], "cosine").text
    assert "keeps a fidelity (cosine) of 0.9; the closest is magnitude 1x1 at 80.0%, 0.400" in text
    # Close, but slower than dense: no reason to prune.
    assert "keeps a fidelity (cosine) of 0.9" in fidelity_answer(results, points, "cosine").text


@pytest.mark.unit
def test_a_limit_of_no_texts_is_refused():
    with pytest.raises(ConfigError, match="limit 0 given"):
        FidelityQuestion("texts.txt", limit=0)


@pytest.mark.unit
def test_quads_are_judged_rounded_where_a_dense_build_rounds_alike(monkeypatch):
    points = [((1, 1), 0.5), ((4, 1), 0.5), ((4, 4), 0.5), ((4, 4), 0.0)]
    for target, blocks in (
        ("x86-64-v4-vnni", [(4, 1), (4, 4), NO_BLOCKS]),
        ("x86-64-v3", [(4, 4), NO_BLOCKS]),
    ):
        monkeypatch.setattr(module, "resolve_target", partial(resolve_target, target))
        places = places_of(points, "int8")
        assert [place.block for place in places if place.scheme] == blocks


@pytest.mark.e2e
def test_points_are_pruned_judged_and_kept(tmp_path):
    directory = write_checkpoint(tmp_path / "dense", bert_tensors(CONFIG), CONFIG)
    cache = Cache(tmp_path / "cache")
    subject = Subject(ModelSpec(str(directory)), cache, Fill())
    model, records = subject.load(SETTING), Records(cache)
    identity = {"ir": subject.import_key(SETTING), "fill": {}}
    points = [((1, 1), 0.0), ((1, 1), 0.3), ((1, 1), 0.9), ((4, 1), 0.3)]
    before = {name: value.copy() for name, value in model.params.items()}
    check_judged(model)
    pruned = {n: np.where(v < 0, 0, v) if "encoder" in n else v for n, v in before.items()}
    message = r"is pruned already \(\d+\.\d% of its encoder's weights are zero\)"
    with pytest.raises(ConfigError, match=message):
        check_judged(replace(model, params=pruned))

    def run(texts, lines, methods=("magnitude", "wanda"), scheme=""):
        places = places_of(points, scheme)
        return fidelity_points(model, methods, places, texts, records, identity, 1, lines.append)

    lines = []
    results = run(TEXTS, lines)
    by_point = {(r.method, r.block, r.sparsity): r.fidelity for r in results}
    assert len(by_point) == len(lines) == 6  # nothing is pruned at sparsity 0
    for method in ("magnitude", "wanda"):
        assert 1 > by_point[method, "1x1", 0.3] > by_point[method, "1x1", 0.9]
        assert by_point[method, "1x1", 0.3] > by_point[method, "4x1", 0.3]
    assert all((model.params[name] == value).all() for name, value in before.items())
    again = []
    assert run(TEXTS, again) == results
    assert again == []  # all from the records
    assert run(TEXTS[:4], again, ["magnitude"]) != results[:3]
    assert len(again) == 3  # other texts, other points
    if detect_host().isa != "aarch64":
        points.append(((4, 4), 0.3))
        rounded = {r.block: r.fidelity for r in run(TEXTS, again, ["magnitude"], "int8")[-2:]}
        assert list(rounded) == ["4x4 INT8", "dense INT8"]
        assert 1 > rounded["dense INT8"] > rounded["4x4 INT8"] > 0
    (directory / "vocab.txt").unlink()
    with pytest.raises(InputError, match="has no tokenizer"):
        run(TEXTS, [])
