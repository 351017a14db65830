"""The list of supported TensorFlow ops as a page, from the table of converters.

python -m tvm_sparse.importers.tensorflow.supported_ops > docs/supported-ops.md
"""

from __future__ import annotations

from tvm_sparse.importers.tensorflow.converters.table import CONVERTERS, FAMILIES

_HEAD = """\
# Supported TensorFlow ops

Written by `python -m tvm_sparse.importers.tensorflow.supported_ops` from the table of converters.

{count} ops of a frozen GraphDef become Relax. Whatever the graph computes from shapes and constants
is computed at import, so `Shape`, `Range`, `Where` and the like leave no trace; axes, sizes and
permutations must be known by then. `Const` and `Placeholder` become weights, constants and inputs.
Ops that only control edges lead to (`Assert`, `NoOp`) are dropped.

Where the batch and the length are ranges, shapes are expressions in them, and the same is computed
with these: `Range` becomes a run-time op, and extents may be sums, products and quotients. An op
that needs a number, such as a slice of five tokens, which a short text does not have, stops the
import with an error that names its node. Images are imported at one batch alone.

An op that is not listed and on the way to an output stops the import with an error that lists all
such ops with their nodes. Among them are control flow (`While`, `If` and their stateless forms),
random numbers, strings, and sparse or ragged tensors.

After the import, erf-GELU, tanh-GELU, layer normalisation and softmax attention are recognised and
become the single ops `nn.gelu`, `nn.gelu_tanh`, `nn.layer_norm` and `nn.attention`.
"""


def render_supported_ops() -> str:
    """Return the page as Markdown."""
    lines = [_HEAD.format(count=len(CONVERTERS))]
    for family, converters in FAMILIES.items():
        lines += [f"## {family}", "", "| TensorFlow op | remark |", "|---|---|"]
        lines += [f"| `{op}` | {converters[op].note} |" for op in sorted(converters)]
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    print(render_supported_ops(), end="")
