"""The page of supported ops is the table's, and no op stands in two families."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_sparse.importers.tensorflow.converters.table import CONVERTERS, FAMILIES
from tvm_sparse.importers.tensorflow.supported_ops import render_supported_ops
from tvm_sparse.importers.torch import supported_ops as aten
from tvm_sparse.importers.torch.operators import table

pytestmark = pytest.mark.unit

PAGE = Path(__file__).parents[2] / "docs" / "supported-ops.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == render_supported_ops(), (
        "write it anew: python -m tvm_sparse.importers.tensorflow.supported_ops "
        "> docs/supported-ops.md"
    )


def test_the_page_of_aten_operators_is_up_to_date():
    page = PAGE.with_name("supported-aten-ops.md").read_text(encoding="utf-8")
    assert page == aten.render_supported_ops(), (
        "write it anew: python -m tvm_sparse.importers.torch.supported_ops "
        "> docs/supported-aten-ops.md"
    )
    assert sum(len(family) for family in table.FAMILIES.values()) == len(table.OPERATORS)


def test_the_page_lists_every_op_once():
    assert sum(len(family) for family in FAMILIES.values()) == len(CONVERTERS)
    rows = [line for line in render_supported_ops().splitlines() if line.startswith("| `")]
    assert len(rows) == len(CONVERTERS)
