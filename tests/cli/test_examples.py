"""The examples' notebooks are made from their scripts, and run on a very small model."""

from __future__ import annotations

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.unit
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_notebook_is_what_its_script_says(script: Path) -> None:
    notebook_text = runpy.run_path(str(ROOT / "scripts/make_notebooks.py"))["notebook_text"]
    assert script.with_suffix(".ipynb").read_text() == notebook_text(script), (
        "run scripts/make_notebooks.py"
    )


@pytest.mark.e2e
@pytest.mark.slow
def test_notebooks_run(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TVM_SPARSE_CACHE", str(tiny.cache_dir))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    small = (
        f"MODEL, WEIGHTS, OUTPUT = {str(tiny.directory)!r}, 'random', 'sparse'\n"
        "SEQ_LEN, BATCH, THREADS, TIME_S = 16, 1, 1, 0.05\n"
        # The second finds the builds of the first.
        "SPARSITY, BLOCK, THRESHOLD, SPARSITIES = 0.95, (4, 1), 0.5, (0.95,)"
    )
    # One after the other in one kernel, which takes longer to start than most of the cells.
    notebooks = [nbformat.read(path.with_suffix(".ipynb"), as_version=4) for path in SCRIPTS]
    together = notebooks[0]
    together.cells = [cell for notebook in notebooks for cell in notebook.cells]
    for number, cell in enumerate(together.cells):
        cell.id = f"cell-{number}"
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source = small
    client = NotebookClient(together, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    printed = "".join(
        output.get("text", "") for cell in together.cells for output in cell.get("outputs", ())
    )
    assert "MB of weights" in printed
    assert "95% zeros: " in printed
    assert {path.name for path in tmp_path.iterdir()} == {"sparse", "sparse-dense"}
