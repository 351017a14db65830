"""The list of supported ATen operators as a page, from the table of operators.

python -m tvm_sparse.importers.torch.supported_ops > docs/supported-aten-ops.md
"""

from __future__ import annotations

from tvm_sparse.importers.torch.operators.table import FAMILIES, OPERATORS

_HEAD = """\
# Supported ATen operators

Written by `python -m tvm_sparse.importers.torch.supported_ops` from the table of operators.

{count} operators of a program of `torch.export` become Relax, of one shape or of any. What depends
on no input is computed at import. Nodes that only check (`_assert_tensor_metadata`) are dropped.
Operators that change a tensor in place are not among them: `ExportedProgram.run_decompositions`
removes them, which `python -m tvm_sparse.export_pt2` does.

An operator that is not listed and on the way to an output stops the import with an error that lists
all such operators with their nodes. So does a result whose shape or dtype is not what PyTorch says
of it.
"""


def render_supported_ops() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD.format(count=len(OPERATORS))]
    for family, operators in FAMILIES.items():
        lines += [f"## {family}", "", ", ".join(f"`{name}`" for name in sorted(operators)), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    print(render_supported_ops(), end="")
