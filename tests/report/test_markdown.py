from __future__ import annotations

import re
from dataclasses import replace

import pytest
from example_study import SPARSITIES, example_study

from tvm_sparse.report.html import render_page
from tvm_sparse.report.markdown import render_markdown
from tvm_sparse.report.study_view import view_of
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.whatif.study import Answer, FidelityPoint, StudyFidelity
from tvm_sparse.whatif.verdict import verdict_of

pytestmark = pytest.mark.unit

ONE = (Setting(128, 1, 2, 1),)


def test_the_page_and_the_pull_request_say_the_same() -> None:
    point = FidelityPoint("magnitude", "16x1", 0.9, 0.987)
    study = replace(
        example_study(ONE), fidelity=StudyFidelity("cosine", "cosine on texts", (point,))
    )
    text, page = render_markdown(study), render_page(view_of(study), "")
    verdict = verdict_of(study)
    for told in (verdict.text, *verdict.caveats, *(answer.text for answer in study.answers)):
        assert told in text
        assert told in page
    for economy in verdict.economies:
        assert f"| {economy.name} |" in text
        assert economy.name in page
    assert f"\n**{verdict.text}**\n" in text
    assert "| magnitude | 16x1 | 90.0% | 0.987 |" in text
    assert study.command in text


def test_every_table_is_whole() -> None:
    tables = re.findall(r"(?:^\|.*\|\n)+", render_markdown(example_study(ONE)), re.M)
    assert len(tables) == 2
    for table in tables:
        assert len({line.count(" | ") for line in table.splitlines()}) == 1
    assert len(tables[1].splitlines()) == 2 + len(SPARSITIES)
    assert "| 95.0% | 51.9 2.12x (-6%) |" in tables[1]


def test_names_cannot_change_the_text_around() -> None:
    evil = "a|b\n\n# <b>*x*"
    study = replace(example_study(ONE), answers=(Answer("x", f"`{'code'}` of {evil}"),))
    assert r"- `code` of a\|b # \<b>\*x\*" in render_markdown(study)
