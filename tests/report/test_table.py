from __future__ import annotations

import io
from dataclasses import replace

import pytest
from example_record import LAYER, example_record
from rich.console import Console, RenderableType

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.report.table import (
    describe_decisions,
    describe_environment,
    describe_result,
    render_benchmark,
    render_decisions,
    render_profile,
)

pytestmark = pytest.mark.unit


def render(renderable: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, legacy_windows=False)
    console.print(renderable)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def test_benchmark(check_golden) -> None:
    record = example_record()
    lines = f"{describe_result(record)}\n{describe_environment(record)}\n"
    check_golden("benchmark-table.txt", render(render_benchmark(record)) + lines)


def test_decisions(check_golden) -> None:
    record = example_record()
    line = describe_decisions(record.decisions, record.sparse_flops_share)
    assert line == "1 of 3 layers run sparse (1 eligible), 87.5% of the model's FLOPs"
    check_golden("decisions-table.txt", render(render_decisions(record.decisions)) + line + "\n")


def test_profile(check_golden) -> None:
    check_golden("profile-table.txt", render(render_profile(example_record()), width=120))


def test_profile_of_one_build() -> None:
    record = example_record()
    text = render(render_profile(replace(record, builds={"dense": record.builds["dense"]})))
    assert LAYER in text
    assert "sparse" not in text
    assert "(take)" in text
    assert "0.750" in text  # both calls of one kernel that works for no layer


@pytest.mark.parametrize(
    ("dense_ms", "sparse_ms", "start"),
    [
        (100, 25, "Pruning makes this model 4.0x faster: 100.00 ms dense, 25.00 ms sparse"),
        (100, 99.5, "Pruning buys no speed here: 100.00 ms dense"),
        (50, 100, "Pruning makes this model 2.0x slower: 50.00 ms dense"),
        (0.004, 0.002, "Pruning makes this model 2.0x faster: 0.0040 ms dense, 0.0020 ms sparse"),
    ],
)
def test_the_sentence_says_what_pruning_buys(dense_ms, sparse_ms, start) -> None:
    sentence = describe_result(example_record(dense_ms, sparse_ms))
    assert sentence.startswith(start)
    assert "The weights take 28.0 MB instead of 340.0 MB" in sentence


def test_of_a_busy_machine_both_ratios_are_told() -> None:
    busy = Disturbance(waiting=0.5, slowness=1.0, spread=3.0, skew=2.5)
    record = replace(example_record(disturbance=busy), undisturbed_speedup=1.87)
    sentence = describe_result(record)
    assert sentence.startswith(
        "Cannot tell what pruning buys: 1.9x by the tenth percentiles, 4.0x by the medians, 3.6 to "
        "4.4 in 80 % of the paired rounds; 100.00 ms dense, 25.00 ms sparse (medians)."
    )
    alone = replace(record, builds={"dense": record.builds["dense"]}, speedup=None)
    assert "takes 92.00 ms by the tenth percentile, 100.00 ms (median)" in describe_result(alone)


def test_medians_that_the_paired_rounds_do_not_bear_out_are_no_verdict() -> None:
    record = replace(example_record(), speedup_p10=2.0, speedup_p90=3.5, undisturbed_speedup=3.4)
    assert describe_result(record).startswith("Cannot tell what pruning buys: 3.4x by the tenth")


def test_the_sentence_of_one_build() -> None:
    record = example_record()
    alone = replace(record, builds={"sparse": record.builds["sparse"]}, speedup=None)
    assert describe_result(alone).startswith("The sparse build takes 25.00 ms (median)")


def test_markup_in_names_is_shown_as_it_is() -> None:
    record = example_record()
    decision = replace(record.decisions[0], weight="layer[bold]/[0]", reason="[red]")
    text = render(render_decisions([decision]))
    assert "layer[bold]/[0]" in text
    assert "[red]" in text
