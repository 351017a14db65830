"""The examples' notebooks are made from their scripts, and run on a very small model."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from text_checkpoints import make_checkpoint

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
#: Needs a model for texts.
ON_TEXTS = "zero_shot"


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
    scripts = [path for path in SCRIPTS if path.stem != ON_TEXTS]
    notebooks = [nbformat.read(path.with_suffix(".ipynb"), as_version=4) for path in scripts]
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


@pytest.mark.e2e
@pytest.mark.slow
def test_articles_are_sorted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TVM_SPARSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    model = make_checkpoint(tmp_path / "model", "zero-shot-classification", "word-pieces", 48)
    rows = [json.dumps({"id": i, "text": f"the red ferry {i}"}) for i in range(5)]
    Path("articles.jsonl").write_text("\n".join(rows))
    parameters = (
        f"MODEL, SPARSITY, ARTICLES, LABELS = {str(model)!r}, 0.5, 'articles.jsonl', 'sea,land'\n"
        "THRESHOLD = 0.5\n"
        "OUTPUT, USE_RAY, ADDRESS, SHAPE = 'labels', False, None, {'batch': 2, 'seq_len': 48}\n"
    )
    script = (ROOT / f"examples/{ON_TEXTS}.py").read_text()
    before, _, rest = script.partition('tags=["parameters"]\n')
    given = "# %%" + rest.partition("# %%")[2]
    exec(compile(f"{before}\n{parameters}{given}", ON_TEXTS, "exec"), {})
    found = [json.loads(line) for line in Path("labels/rows.jsonl").read_text().splitlines()]
    assert [row["id"] for row in found] == list(range(5))
    assert all({*row["prediction"]["labels"]} == {"sea", "land"} for row in found)
