from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from peers_record import peers_record

from tvm_sparse.errors import BuildError, DependencyError
from tvm_sparse.report.plots import draw_peers, save_peers_chart

pytestmark = pytest.mark.unit

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def test_a_panel_per_number_of_threads_and_a_bar_per_engine() -> None:
    figure = draw_peers(peers_record())
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["1 thread", "2 threads"]
    one_thread = figure.axes[0]
    widths = [bar.get_width() for bar in one_thread.patches]
    assert widths == sorted(widths, reverse=True) == [200, 120, 100, 80, 40, 10]
    labels = [label.get_text() for label in one_thread.get_yticklabels()]
    assert labels[0] == "onnxruntime label"
    assert "torch label" not in labels
    texts = [text.get_text().strip() for text in one_thread.texts]
    assert texts[-1] == "10 ms  (12.00x)"
    assert [text.get_text() for text in one_thread.get_legend().get_texts()] == [
        *("tvm_sparse, sparse", "tvm_sparse, dense", "other engine, fp32", "other engine, INT8")
    ]


def test_a_chart_is_a_png(tmp_path: Path) -> None:
    path = tmp_path / "new" / "chart.png"
    save_peers_chart(peers_record(), path)
    assert path.read_bytes().startswith(PNG_SIGNATURE)


def test_nothing_measured_is_no_chart() -> None:
    with pytest.raises(BuildError, match="nothing was measured"):
        draw_peers(replace(peers_record(), results=()))


def test_a_chart_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BuildError, match="cannot be written"):
        save_peers_chart(peers_record(), tmp_path / "file" / "chart.png")


def test_a_missing_matplotlib_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DependencyError, match=r"pip install 'tvm_sparse\[report\]'"):
        draw_peers(peers_record())
