from __future__ import annotations

import io
from dataclasses import replace

import pytest
from example_record import LAYER, example_record
from rich.console import Console, RenderableType

from tvm_sparse.report.build_answer import describe_result
from tvm_sparse.report.table import (
    describe_decisions,
    describe_environment,
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


def test_a_build_of_8_bits_without_any_says_why() -> None:
    record = example_record()
    told = [replace(one, dtype_reason="blocks of 1x1") for one in record.decisions]
    assert describe_decisions(told, 0.5).endswith("; none in INT8 (blocks of 1x1)")
    told[0] = replace(told[0], dtype="int8")
    assert describe_decisions(told, 0.5).endswith("; 1 layer in INT8")
    told[1] = replace(told[1], dtype="int16")
    assert describe_decisions(told, 0.5).endswith("; 1 layer in INT16, 1 layer in INT8")


def test_profile(check_golden) -> None:
    check_golden("profile-table.txt", render(render_profile(example_record()), width=120))


def test_profile_of_one_build() -> None:
    record = example_record()
    text = render(render_profile(replace(record, builds={"dense": record.builds["dense"]})))
    assert LAYER in text
    assert "sparse" not in text
    assert "(take)" in text
    assert "0.750" in text  # both calls of one kernel that works for no layer


def test_markup_in_names_is_shown_as_it_is() -> None:
    record = example_record()
    decision = replace(record.decisions[0], weight="layer[bold]/[0]", reason="[red]")
    text = render(render_decisions([decision]))
    assert "layer[bold]/[0]" in text
    assert "[red]" in text
