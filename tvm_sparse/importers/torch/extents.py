"""What an archive says of extents that it leaves to the run, in the variables of our modules."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, mul
from typing import Any

import tvm

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.ir.dims import BATCH, SEQ_LEN, Dim, dim

#: Of inputs with two axes, (sequences, tokens).
_AXES = (BATCH, SEQ_LEN)
#: What PyTorch takes for the least of an axis that nobody gave one: its programs hold for 1 too,
#: other than where a model treats that as a case of its own.
_DEFAULT_LEAST = 2
#: What PyTorch writes of sums of extents and the like: SymPy's own form.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda *terms: reduce(add, terms),
    "Mul": lambda *terms: reduce(mul, terms),
    "Pow": lambda base, times: reduce(mul, [base] * times),
    "FloorDiv": tvm.tirx.floordiv,
    "CleanDiv": tvm.tirx.floordiv,
    "Mod": tvm.tirx.floormod,
    "PythonMod": tvm.tirx.floormod,
    "Max": lambda *terms: reduce(tvm.tirx.max, terms),
    "Min": lambda *terms: reduce(tvm.tirx.min, terms),
}


@dataclass(frozen=True)
class Extents:
    """The symbols of a program.

    Attributes
    ----------
    symbols : mapping of str to (int or PrimExpr)
        What each is: the batch, the length, or a number, in an import at one shape.
    """

    symbols: Mapping[str, Dim]

    def read(self, size: Mapping[str, Any]) -> Dim:
        """Return an extent that is a number, or an expression in the symbols.

        Raises
        ------
        FrontendError
            It follows from something else.
        """
        if "as_int" in size:
            return int(size["as_int"])
        text = size["as_expr"]["expr_str"]
        try:
            value = self._value(ast.parse(text, mode="eval").body)
        except (SyntaxError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise FrontendError(
                f"the program has an extent {text}, which does not follow from the batch and the "
                "length of its inputs"
            ) from error
        return dim(value)

    def shape(self, sizes: list[Any]) -> tuple[Dim, ...]:
        """Return the extents of a tensor."""
        return tuple(map(self.read, sizes))

    def _value(self, node: Any) -> Any:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            return ast.literal_eval(node)
        if node.func.id == "Symbol":
            return self.symbols[ast.literal_eval(node.args[0])]
        arguments = [self._value(one) for one in node.args]
        if node.func.id == "Integer":
            return int(arguments[0])
        return _FUNCTIONS[node.func.id](*arguments)


def find_extents(
    inputs: Mapping[str, Sequence[Any]],
    ranges: Mapping[str, Mapping[str, Any]],
    shape: tuple[int, int],
    is_open: bool,
    origin: str,
) -> Extents:
    """Return what the symbols in the shapes of a program's inputs stand for.

    Parameters
    ----------
    inputs : mapping of str to list
        Their sizes, as the archive has them.
    ranges : mapping of str to mapping
        The least and the largest value of each symbol, likewise.
    shape : (int, int)
        The largest batch and length that are asked for, or the only ones.
    is_open : bool
        Whether they are the largest.
    origin : str
        Of the program, for messages.

    Raises
    ------
    FrontendError
        The program fixes a shape where any is asked for, or takes other ones.
    """
    symbols: dict[str, Dim] = {}
    for name, sizes in inputs.items():
        for axis, size in enumerate(sizes):
            text = size["as_expr"]["expr_str"] if "as_expr" in size else None
            if text is None and not is_open:
                continue
            if text is None or axis >= len(_AXES):
                fixed = "x".join("?" if "as_expr" in one else str(one["as_int"]) for one in sizes)
                if not is_open:
                    raise FrontendError(
                        f"{origin} takes {name} of {fixed}: only the first two axes of inputs, "
                        "sequences and tokens, may be left open"
                    )
                raise FrontendError(
                    f"{origin} takes {name} of {fixed}, ranges for --batch or --seq-len given: "
                    "leave both axes of its inputs open (python -m tvm_sparse.export_pt2 --seq-len "
                    "1:512, or dynamic_shapes of torch.export)"
                )
            symbol = _symbol(text, origin)
            value: Dim = _AXES[axis] if is_open else shape[axis]
            if symbols.setdefault(symbol, value) != value:
                raise FrontendError(f"{origin} needs a batch that is as large as the length")
            asked = (1 if is_open else shape[axis], shape[axis])
            _check_range(ranges.get(symbol, {}), asked, ("--batch", "--seq-len")[axis], origin)
    return Extents(symbols)


def _symbol(text: str, origin: str) -> str:
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call) or getattr(call.func, "id", "") != "Symbol":
        raise CheckpointError(f"{origin} takes inputs of {text} tokens: any number is needed")
    return str(ast.literal_eval(call.args[0]))


def _check_range(known: Mapping[str, Any], asked: tuple[int, int], flag: str, origin: str) -> None:
    least, most = known.get("min_val"), known.get("max_val")
    if isinstance(most, int) and asked[1] > most:
        raise FrontendError(f"{origin} takes up to {most}: give {flag} {most} or less")
    # PyTorch simplified with it: below, the program may compute something else.
    if isinstance(least, int) and max(asked[0], _DEFAULT_LEAST) < least:
        raise FrontendError(
            f"{origin} takes {least} or more, {flag} from {asked[0]} on given: give one {flag} of "
            f"{least} or more, or export it with a least of 1 (min=1 of torch.export.Dim)"
        )
