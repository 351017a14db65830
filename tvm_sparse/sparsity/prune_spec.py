"""What pruning was asked for, validated once."""

from __future__ import annotations

import math
import os
import re
import reprlib
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tvm_sparse.errors import ConfigError, check_word, did_you_mean
from tvm_sparse.sparsity.schedule import load_patterns

NM = tuple[int, int]
Method = Literal["magnitude", "wanda", "second-order"]
METHODS: tuple[str, ...] = get_args(Method)
#: Names of schedules; anything else is a file.
SCHEDULES = ("uniform", "global", "auto")


@dataclass(frozen=True)
class PruneSpec:
    """How to prune a model's real weights.

    Parameters
    ----------
    method : {"magnitude", "wanda", "second-order"}
        What decides which blocks go; `second-order` also changes those that stay.
    sparsity : float or None
        Share of blocks to remove, 0..1; None with `n_m`.
    block_shape : (int, int)
        (bs_r, bs_c): rows along the outputs N, columns along the inputs K.
    n_m : (int, int) or None
        Keep N of every M neighbouring blocks instead.
    schedule : str
        `uniform`, `global`, `auto`, or a YAML file of patterns and sparsities.
    calibration : str or None
        Text file, one passage a line; None takes the built-in text.
    samples : int
        Use at most so many passages.
    damping : float
        Of the Hessian, as a share of its mean diagonal.
    sequential : bool
        Take each encoder layer's activations with the ones before it already pruned.
    seed : int
        Seed of the token ids that stand in for text when the weights are random.
    include, exclude : tuple of str
        Shell patterns on layer names; empty `include` means every eligible encoder layer.

    Raises
    ------
    ConfigError
        A value is out of range, or two exclude each other.
    """

    method: Method = "second-order"
    sparsity: float | None = None
    block_shape: tuple[int, int] = (1, 1)
    n_m: NM | None = None
    schedule: str = "uniform"
    calibration: str | None = None
    samples: int = 256
    damping: float = 0.01
    sequential: bool = True
    seed: int = 0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_word("method", self.method, METHODS)
        if self.sparsity is None and self.n_m is None:
            raise ConfigError("no sparsity given: pass --sparsity FRACTION or --n-m N:M")
        if self.schedule not in SCHEDULES:
            if not os.path.isfile(self.schedule):
                raise ConfigError(
                    f"schedule {self.schedule!r} given{did_you_mean(self.schedule, SCHEDULES)}: "
                    f"use {', '.join(SCHEDULES)} or a YAML file"
                )
            load_patterns(self.schedule)
        if self.sparsity is not None and self.n_m is not None:
            raise ConfigError("--sparsity and --n-m exclude each other: N:M sets the sparsity")
        if self.sparsity is not None and not 0.0 <= self.sparsity <= 1.0:
            raise ConfigError(
                f"sparsity {self.sparsity:g} given: it is a fraction between 0 and 1, "
                "for example 0.8 for 80 % zeros"
            )
        if self.n_m is not None:
            _check_n_m(*self.n_m)
        if self.n_m is not None and self.schedule != "uniform":
            raise ConfigError(
                f"--schedule {self.schedule} and --n-m exclude each other: N:M is the same in "
                "every layer"
            )
        if len(self.block_shape) != 2 or min(self.block_shape) < 1:
            raise ConfigError(
                f"block shape {'x'.join(map(str, self.block_shape))} given: "
                "bs-r and bs-c must be at least 1"
            )
        if self.samples < 1:
            raise ConfigError(f"samples {self.samples} given: it must be at least 1")
        if not (self.damping > 0 and math.isfinite(self.damping)):
            raise ConfigError(f"damping {self.damping:g} given: it must be over 0, 0.01 is usual")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed} given: it must be 0 or more")

    @property
    def needs_activations(self) -> bool:
        """Whether the method looks at what the layers multiply."""
        return self.method != "magnitude"

    @property
    def reads_texts(self) -> bool:
        """Whether the model has to be run on texts."""
        return self.needs_activations or self.schedule == "auto"

    def with_method(self, method: Method) -> PruneSpec:
        """Return a copy with another method."""
        return replace(self, method=method)


def parse_n_m(text: str) -> NM:
    """Return "2:4" as (2, 4): 2 of every 4 blocks stay.

    Raises
    ------
    ConfigError
        It is no such pattern, or more would stay than there are.
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*:\s*(\d{1,6})\s*", text)
    if match is None:
        raise ConfigError(
            f"N:M {reprlib.repr(text)} given: it is two numbers such as 2:4 (2 of every 4 stay)"
        )
    n, m = int(match[1]), int(match[2])
    _check_n_m(n, m)
    return n, m


def _check_n_m(n: int, m: int) -> None:
    if not 1 <= n <= m:
        raise ConfigError(f"N:M {n}:{m} given: N blocks of every M stay, so 1 <= N <= M is needed")
