"""How many runs at a time there are, where that is measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tvm_sparse.host import available_cores
from tvm_sparse.serve.auto_streams import choose, with_measured_streams
from tvm_sparse.serve.config import ServeConfig


@pytest.mark.unit
@pytest.mark.parametrize(
    ("rates", "streams"),
    [([100.0, 110.0, 120.0], 1), ([50.0, 90.0, 100.0], 2), ([10.0, 40.0, 100.0], 4)],
)
def test_the_fewest_that_are_fast_enough(rates, streams) -> None:
    assert choose([1, 2, 4], rates) == streams


@pytest.mark.e2e
def test_it_is_measured(config: ServeConfig) -> None:
    said: list[str] = []
    cores = available_cores()
    auto = replace(config, streams="auto", cores=cores)
    found = with_measured_streams(auto, said.append)
    assert cores % found.streams == 0
    assert found == replace(auto, streams=found.streams)
    assert said == [] if cores == 1 else said[0].startswith(f"streams: {found.streams} (runs a")
    assert with_measured_streams(replace(config, streams="auto"), said.append).streams == 1
    assert with_measured_streams(config, said.append) is config
