"""A job in this process: what comes out, what it is when it goes on, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

import tvm_sparse
from tvm_sparse.batch.run import run_batch
from tvm_sparse.batch.spec import BatchSpec
from tvm_sparse.errors import BuildError, ConfigError

pytestmark = pytest.mark.unit


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def spec_of(builds: dict[str, str], path: Path, **changes) -> BatchSpec:
    output = str(path.parent / "out")
    spec = BatchSpec((str(path),), output, builds["feature-extraction"], use_ray=False, parts=4)
    return replace(spec, **changes)


def test_keep_order_makes_one_file(builds, ferries):
    spec = spec_of(builds, ferries, keep_order=True, format="parquet")
    record = run_batch(spec)
    table = parquet.read_table(ferries.parent / "out/rows.parquet")
    assert table["text"].to_pylist() == ferries.read_text().splitlines()
    wanted = tvm_sparse.load(spec.artifact).encode(table["text"].to_pylist())
    np.testing.assert_allclose(np.stack(table["prediction"].to_pylist()), wanted, atol=1e-6)
    assert (record.rows_in, record.errors, record.actors) == (400, 0, 1)
    again = run_batch(replace(spec, resume=True))
    assert (again.rows_in, again.resumed_rows, again.tokens) == (400, 400, 0)
    assert len(parquet.read_table(ferries.parent / "out/rows.parquet")) == 400


def test_a_job_goes_on_where_it_was_ended(builds, ferries):
    spec, told = spec_of(builds, ferries), []

    def interrupt(now):
        told.append(now)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(spec, tell=interrupt)
    out = ferries.parent / "out"
    (first,) = out.glob("part-*")
    before = first.stat().st_mtime_ns
    with pytest.raises(ConfigError, match="holds a job: give --resume"):
        run_batch(spec)
    other = replace(spec, task="feature-extraction", format="parquet", resume=True)
    with pytest.raises(ConfigError, match="a job with another --task, --format: give what"):
        run_batch(other)
    record = run_batch(replace(spec, resume=True))
    assert record.rows_in == 400
    assert record.resumed_rows == told[0].rows
    assert first.stat().st_mtime_ns == before
    rows = [row for path in sorted(out.glob("part-*")) for row in lines(path)]
    assert [row["row"] for row in rows] == [f"{ferries}:{i + 1}" for i in range(400)]


def test_an_input_that_changed_ends_the_job(builds, ferries):
    def shorten(_now):
        ferries.write_text("short\n")

    with pytest.raises(BuildError, match=r"rows \d+ to \d+ of .*: the file is shorter than it was"):
        run_batch(spec_of(builds, ferries), tell=shorten)


def test_a_slice_of_a_million(builds, tmp_path):
    texts = tmp_path / "short.jsonl"
    texts.write_text("".join(f'{{"text": "the ferry {i} leaves"}}\n' for i in range(2000)))
    script = Path(__file__).parents[2] / "scripts/bench_million.py"
    command = [sys.executable, str(script), str(texts), "--model", builds["feature-extraction"]]
    found = subprocess.run(
        [*command, "--no-ray", "--every", "0.1"], capture_output=True, text=True, check=True
    )
    assert "2000 rows in, each once in what was written" in found.stdout
    assert "rows/s" in found.stdout
