"""The list of supported ONNX operators as a page, from the table of operators.

python -m tvm_sparse.importers.onnx.supported_ops > docs/supported-onnx-ops.md
"""

from __future__ import annotations

from tvm_sparse.importers.onnx.operators.table import FAMILIES, OPERATORS

_HEAD = """\
# Supported ONNX operators

Written by `python -m tvm_sparse.importers.onnx.supported_ops` from the table of operators.

{count} operators become Relax, those of ONNX Runtime's graph optimiser (`com.microsoft`) among
them. What depends on no input is computed by ONNX Runtime at import, with whatever operators:
shapes, ranges, masks and positions leave no trace.

An operator that is not listed, depends on an input and is on the way to an output stops the import
with an error that lists all such operators with their nodes.
"""


def render_supported_ops() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD.format(count=len(OPERATORS))]
    for family, operators in FAMILIES.items():
        lines += [f"## {family}", "", ", ".join(f"`{name}`" for name in sorted(operators)), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(render_supported_ops(), end="")
