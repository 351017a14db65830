"""The builds of a model that can be asked for; free of numpy, for whoever only names them."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_sparse.errors import check_word


@dataclass(frozen=True)
class BuildSpec:
    """A build: what its weights are stored in.

    Attributes
    ----------
    name : str
        What users type and see.
    dense : str
        Format of the layers that run dense, a key of `registry.FORMATS`.
    sparse : str, optional
        Format of the layers that run sparse; None where none does.
    tolerances : (float, float), optional
        atol and rtol of its outputs where its formats round the weights; None where they do not,
        and what is wanted of any comparison holds.
    scheme : str
        What its products are rounded to, as `config.QuantizeScheme` has it; empty where they are
        not.
    kept : tuple of (str, str), optional
        Layers, by the canonical names of their weights, that keep float32 in a build that rounds,
        and why.
    wide : tuple of (str, str), optional
        Layers whose integers come with a checkpoint and need sums with more room, and why.
    """

    name: str
    dense: str
    sparse: str | None = None
    tolerances: tuple[float, float] | None = None
    scheme: str = ""
    kept: tuple[tuple[str, str], ...] = ()
    wide: tuple[tuple[str, str], ...] = ()

    @property
    def is_sparse(self) -> bool:
        """Whether layers may run sparse."""
        return self.sparse is not None

    @property
    def is_exact(self) -> bool:
        """Whether it computes what the imported model does, all weights as they are."""
        return not self.is_sparse and self.tolerances is None


#: The build that others are compared with.
DENSE = BuildSpec("dense", "dense float32")
SPARSE = BuildSpec("sparse", "dense float32", "BSR float32")
# Rounded weights and activations move an output by a few per cent of the largest.
_INT8, _INT8_FAST = (0.1, 0.1), (0.2, 0.2)
INT8 = BuildSpec("int8", "dense int8", None, _INT8, "int8")
INT8_SPARSE = BuildSpec("int8-sparse", "dense int8", "BSR int8", _INT8, "int8")
INT8_FAST = BuildSpec("int8-fast", "dense int8 fast", None, _INT8_FAST, "int8-fast")
INT8_FAST_SPARSE = BuildSpec(
    "int8-fast-sparse", "dense int8 fast", "BSR int8 fast", _INT8_FAST, "int8-fast"
)
#: By name, in the order in which they are shown.
BUILDS: dict[str, BuildSpec] = {
    build.name: build for build in (DENSE, SPARSE, INT8, INT8_SPARSE, INT8_FAST, INT8_FAST_SPARSE)
}


def build_spec(name: str) -> BuildSpec:
    """Return the build of a name.

    Raises
    ------
    ConfigError
        There is none.
    """
    check_word("build", name, BUILDS)
    return BUILDS[name]


def build_of(is_sparse: bool, scheme: str = "") -> BuildSpec:
    """Return the build whose layers may run sparse, or not, rounded as a scheme says."""
    return next(
        build
        for build in BUILDS.values()
        if build.is_sparse == is_sparse and build.scheme == scheme
    )
