"""PyTorch's names of weights in the form in which modules have them."""

from __future__ import annotations

import re

#: An index into a list of modules, behind the list's name.
_INDEX = re.compile(r"/(\d+)(?=/)")


def canonical_name(name: str, prefix: str = "") -> str:
    """Return `bert/encoder/layer_._0/output/dense/weight` of PyTorch's name.

    Parameters
    ----------
    name : str
        PyTorch's: `encoder.layer.0.output.dense.weight`.
    prefix : str
        What stands before it under a head, and the bare encoder lacks: `bert`.
    """
    path = "/".join(filter(None, (prefix, *name.split("."))))
    return _INDEX.sub(r"_._\1", path)
