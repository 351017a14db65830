from __future__ import annotations

import pytest
from example_study import example_study

from tvm_sparse.report.study_rows import Shape, StudyRow
from tvm_sparse.report.study_view import view_of


@pytest.fixture(scope="session")
def rows() -> tuple[StudyRow, ...]:
    """The builds of a study at two shapes, of which those at 80 % were disturbed."""
    return view_of(example_study()).rows


@pytest.fixture(scope="session")
def shape() -> Shape:
    return Shape(1, 128, 2)
