"""`tvm-sparse tune`: what it says, and that later builds use what it found."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest

from tvm_sparse.api import tuning
from tvm_sparse.cache.store import Cache
from tvm_sparse.tiles import NO_TILES, Tiles, TokenTile
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.tuned_tiles import load_tiles

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def own_cache(tiny, tmp_path):
    """A cache that holds the import and nothing else."""
    cache_dir = tmp_path / "cache"
    shutil.copytree(tiny.import_dir, cache_dir / "ir" / tiny.import_dir.name)
    return cache_dir


def test_wrong_use(invoke, tiny):
    result = invoke("tune", *tiny.flags, "--dense-only", "--sparse-only")
    assert result.code == 2
    assert "exclude each other" in result.err


def test_tune(invoke, tiny, own_cache, tmp_path, monkeypatch):
    def two_products(*args):
        return dict(list(real(*args).items())[:2])

    real = tuning.products_of
    monkeypatch.setattr(tuning, "products_of", two_products)
    flags = (*tiny.flags, "--cache-dir", own_cache, "--block", "4x4", "--time", "0.1")
    flags += ("--quantize", "int8")
    result = invoke("tune", *flags, "--json", tmp_path / "out.json")
    assert (result.code, result.err.count("Traceback")) == (0, 0), result.err
    names = ["dense", "sparse", "int8", "int8-sparse"]
    for name in names:
        assert f"{name} products" in result.out
        assert f"The {name} build " in result.out
    document = json.loads((tmp_path / "out.json").read_text())["builds"]
    assert [build["name"] for build in document] == names
    assert [len(build["products"]) for build in document] == [2, 2, 2, 2]
    # Nothing is timed a second time but whole models.
    monkeypatch.setattr(tuning, "_medians", lambda rivals, *_: dict.fromkeys(rivals, 1.0))
    again = invoke("tune", *flags)
    assert again.code == 0
    assert "trying" in result.err
    assert "trying" not in again.err


def test_builds_use_what_was_kept(invoke, tiny, own_cache, monkeypatch):
    vectors = 3  # which no level prefers for 16 tokens

    def other_token_tile(products, *args):
        first, *_ = products.items()
        (product,) = real(dict([first]), *args)
        tokens = (replace(product.before.tokens[0], vectors=vectors),)
        return [replace(product, after=replace(product.before, tokens=tokens))]

    real = tuning.tune_build
    monkeypatch.setattr(tuning, "tune_build", other_token_tile)
    flags = (*tiny.flags, "--cache-dir", own_cache, "--bs-r", "4")
    tune = ("tune", *flags, "--sparse-only", "--time", "0.1", "-q")

    monkeypatch.setattr(tuning, "_medians", lambda *_: {"sparse": 1.0, "tuned sparse": 1.0})
    result = invoke(*tune)
    assert "1.000x. That is not worth a change: it stays." in result.out
    assert load_tiles(Records(Cache(own_cache))) == NO_TILES

    monkeypatch.setattr(tuning, "_medians", lambda *_: {"sparse": 2.0, "tuned sparse": 1.0})
    result = invoke(*tune)
    assert "2.000x. Its tiles are kept." in result.out
    kept = load_tiles(Records(Cache(own_cache)))
    assert isinstance(kept, Tiles)
    assert kept.tokens == (TokenTile(4, 16, vectors),)
    before = set(own_cache.glob("lib/*"))
    # The build with these tiles was made by `tune` and is right.
    run = ("run", *flags, "--iterations", "2", "--warmup", "0.01")
    done = invoke(*run)
    assert done.code == 0, done.err
    assert "sparse build taken from the cache" in done.err
    assert len(set(own_cache.glob("lib/*")) - before) <= 1
