"""Make the notebooks of the examples from their scripts, which are what is edited.

A script is in the percent format that editors know: `# %%` begins a cell of code, `# %% [markdown]`
one of text, `tags=[...]` gives a cell tags. Notebooks are kept without outputs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
_CELL = re.compile(r"^# %%(?P<kind> \[markdown\])?(?: tags=(?P<tags>\[.*\]))?$", re.MULTILINE)


def make_notebook(script: str) -> dict[str, Any]:
    """Return the notebook of a script in the percent format."""
    marks = list(_CELL.finditer(script))
    ends = [*(mark.start() for mark in marks[1:]), len(script)]
    cells: list[dict[str, Any]] = []
    for number, (mark, end) in enumerate(zip(marks, ends, strict=True)):
        source = script[mark.end() : end].strip("\n")
        cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
        if mark["tags"]:
            cell["metadata"]["tags"] = json.loads(mark["tags"])
        if mark["kind"]:
            cell |= {"cell_type": "markdown"}
            source = re.sub("^# ?", "", source, flags=re.MULTILINE)
        else:
            cell |= {"cell_type": "code", "execution_count": None, "outputs": []}
        cells.append({**cell, "source": source.splitlines(keepends=True)})
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def notebook_text(script: Path) -> str:
    """Return what the notebook beside a script holds."""
    return json.dumps(make_notebook(script.read_text()), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in sorted(EXAMPLES.glob("*.py")):
        path.with_suffix(".ipynb").write_text(notebook_text(path))
