"""How the weights become sparse and which layers run sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tvm_sparse.config.spec import TOO_MANY, Spec, require, require_whole
from tvm_sparse.errors import check_word

PruneMethod = Literal["auto", "none", "random", "magnitude"]
SelectMethod = Literal["auto", "threshold", "model", "measure"]

_DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class SparsitySpec(Spec):
    """How the weights become sparse and which layers run sparse.

    Parameters
    ----------
    sparsity : float
        Target block sparsity of the layers that are filled or pruned, 0..1.
    block_shape : (int, int)
        (bs_r, bs_c): rows along the outputs N, columns along the inputs K.
    sparsity_threshold : float or None
        A layer runs sparse when its `block_sparsity` at `block_shape` is at least this, 0..1;
        None is 0.5 where a threshold decides.
    select : {"auto", "threshold", "model", "measure"}
        What decides which layers run sparse: `threshold`; `model`, their times on this machine
        as the cost model predicts them; `measure`, those times measured on their own weights.
        `auto` is `threshold` where one is given or the build is for another machine, and `model`
        otherwise.
    prune : {"auto", "none", "random", "magnitude"}
        `none` keeps the zeros the weights have, `random` fills a seeded random block structure,
        `magnitude` removes the blocks of least L2 norm from the real weights; `auto` is `none`
        for weights that come pruned and `random` otherwise.
    seed : int
        Seed of the random structure.
    include, exclude : tuple of str
        Shell patterns on layer names; empty `include` means every eligible encoder layer.
    """

    sparsity: float = 0.95
    block_shape: tuple[int, int] = (1, 1)
    sparsity_threshold: float | None = None
    select: SelectMethod = "auto"
    prune: PruneMethod = "auto"
    seed: int = 0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require(
            0.0 <= self.sparsity <= 1.0,
            f"sparsity {self.sparsity:g} given: it is a fraction between 0 and 1, "
            "for example 0.95 for 95 % zeros",
        )
        require(
            0.0 <= self.threshold <= 1.0,
            f"threshold {self.threshold:g} given: it is a fraction between 0 and 1",
        )
        check_word("select", self.select, get_args(SelectMethod))
        require(
            self.sparsity_threshold is None or self.select in ("auto", "threshold"),
            f"threshold {self.threshold:g} and select {self.select} given: a threshold decides "
            "only with --select threshold; leave one of them out",
        )
        require(
            len(self.block_shape) == 2
            and min(self.block_shape) >= 1
            and max(self.block_shape) < TOO_MANY,
            f"block shape {'x'.join(map(str, self.block_shape))} given: "
            "bs-r and bs-c must be at least 1 and divide the weights",
        )
        check_word("prune", self.prune, get_args(PruneMethod))
        require_whole("seed", self.seed, least=0)

    @property
    def threshold(self) -> float:
        """The threshold, the default resolved."""
        given = self.sparsity_threshold
        return _DEFAULT_THRESHOLD if given is None else given
