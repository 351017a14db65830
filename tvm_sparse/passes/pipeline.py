"""The compiler as one list: every phase from the imported module to the executable's input."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.formats.builds import SPARSE, BuildSpec
from tvm_sparse.ir.dense_layers import dense_layers
from tvm_sparse.ir.functions import parameters
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.quantization import Quantization
from tvm_sparse.passes import (
    bsr_dense,
    constant_factors,
    fast_math,
    first_tokens_only,
    fold_weights,
    join_weights,
    patch_products,
    simplify_fc_transpose,
    smooth_inputs,
    split_batch,
    tile_tokens,
)
from tvm_sparse.passes.layer_calls import layer_calls
from tvm_sparse.passes.layer_plan import NO_PLAN, LayerPlan
from tvm_sparse.passes.schedule_fallback import ScheduleFallback
from tvm_sparse.passes.shared_shapes import ShareShapes
from tvm_sparse.passes.storage_classes import RoundStorage, SplitStorage
from tvm_sparse.progress import Progress, silent
from tvm_sparse.quantization.layers import kept_layers
from tvm_sparse.runtime.metadata import KernelCall
from tvm_sparse.target import CpuTarget

_T = relax.transform
_Result = TypeVar("_Result")

#: Relax to virtual-machine code, in TVM's own order, with three passes of ours.
LOWER = tvm.transform.Sequential(
    [
        _T.ToNonDataflow(),
        _T.RemovePurityChecking(),
        _T.CallTIRRewrite(),
        _T.StaticPlanBlockMemory(),
        _T.LowerAllocTensor(),
        SplitStorage(),
        RoundStorage(),
        _T.KillAfterLastUse(),
        _T.LowerRuntimeBuiltin(),
        _T.ComputePrimValue(),
        _T.VMShapeLower(),
        ShareShapes(),
        _T.AttachGlobalSymbol(),
    ],
    name="Lower",
)


@dataclass
class Lowered:
    """What the pipeline leaves behind.

    Attributes
    ----------
    mod, params
        Ready for `LOWER`: `main` takes the inputs, then the weights, as the kernels read them, in
        this order.
    decisions
        One per dense layer; empty for a dense build.
    calls
        Kernel calls of `main` in order.
    stored
        Of a build that rounds weights, by canonical name: the dtype of a weight, and why it is
        not the one that the build asks for.
    token_tile, mixes_tokens
        See `tile_tokens.TOKEN_TILE`; 0 and empty for a model of one shape.
    phase_s
        Seconds each phase took.
    """

    mod: tvm.IRModule
    params: dict[str, np.ndarray]
    decisions: list[Decision]
    calls: list[KernelCall]
    token_tile: int = 0
    mixes_tokens: str = ""
    stored: dict[str, tuple[str, str]] = field(default_factory=dict)
    phase_s: dict[str, float] = field(default_factory=dict)

    @property
    def weights_bytes(self) -> int:
        """Size of the weights in memory."""
        return sum(int(value.nbytes) for value in self.params.values())


class Phases:
    """Run named phases: time each, tell progress, and dump the module after it.

    `dump_dir` receives `NN_name.txt` after each phase.
    """

    def __init__(self, dump_dir: str | None = None, progress: Progress = silent) -> None:
        self.dump_dir, self.progress = dump_dir, progress
        self.seconds: dict[str, float] = {}

    def run(self, name: str, phase: Callable[[], _Result]) -> _Result:
        """Run one phase and return what it returns: a module, or a tuple that starts with one."""
        self.progress(name)
        start = time.perf_counter()
        result = phase()
        self.seconds[name] = time.perf_counter() - start
        if self.dump_dir is not None:
            mod: tvm.IRModule = result[0] if isinstance(result, tuple) else result
            self._dump = Path(self.dump_dir) / f"{len(self.seconds):02d}_{name}.txt"
            self._dump.parent.mkdir(parents=True, exist_ok=True)
            self._dump.write_text(mod.script(show_meta=False), encoding="utf-8")
        return result

    def remark(self, lines: Iterable[str]) -> None:
        """Append what the phase that just ran has to say to its dump."""
        if self.dump_dir is not None:
            with self._dump.open("a", encoding="utf-8") as file:
                file.writelines(f"# {line}\n" for line in lines)


def pack(
    mod: tvm.IRModule,
    params: Mapping[str, np.ndarray],
    target: CpuTarget,
    sparsity: SparsitySpec | None = None,
    phases: Phases | None = None,
    plan: LayerPlan = NO_PLAN,
    build: BuildSpec = SPARSE,
) -> tuple[tvm.IRModule, dict[str, np.ndarray], list[Decision]]:
    """Take an imported module through the phases that look at its weights.

    Takes what `lower` takes, and raises what it raises.

    Returns
    -------
    mod : IRModule
        Operators on token tiles and packed weights.
    params : dict of str to ndarray
        The packed weights.
    decisions : list of Decision
        One per dense layer; empty for a dense build.
    """
    phases = phases or Phases()
    decisions: list[Decision] = []
    block_rows = 0

    # 1. Every dense layer multiplies one weight, stored (N, K).
    mod, params = phases.run("join_weights", lambda: join_weights.convert(mod, params))
    mod, params = phases.run("fold_weights", lambda: fold_weights.convert(mod, params))
    mod, params = phases.run(
        "simplify_fc_transpose", lambda: simplify_fc_transpose.convert(mod, params)
    )
    # 2. In a build of 8 bits some stay as they are, the others get smoother inputs.
    if build.scheme:
        known = plan.quantization or Quantization()
        found = {**dict(build.kept), **known.kept}
        kept = kept_layers(dense_layers(mod, params.keys()), found)
        wide = {**dict(build.wide), **known.wide}
        build = replace(build, kept=tuple(kept.items()), wide=tuple(wide.items()))
        factors = {name: one for name, one in known.factors.items() if name not in kept}
        mod, params = phases.run(
            "smooth_inputs", lambda: smooth_inputs.convert(mod, params, factors)
        )
    # 3. Those sparse enough become block-sparse.
    if sparsity is not None:
        block_rows = sparsity.block_shape[0]
        mod, params, decisions = phases.run(
            "bsr_dense",
            lambda: bsr_dense.convert(
                mod,
                params,
                sparsity.block_shape,
                sparsity.threshold,
                sparsity.include,
                sparsity.exclude,
                plan.choices,
            ),
        )
    # 4. Convolutions of patches are products, those with constants have weights; what nobody reads
    # is not computed.
    mod, params = phases.run("patch_products", lambda: patch_products.convert(mod, params))
    mod, params, names = phases.run(
        "constant_factors", lambda: constant_factors.convert(mod, params)
    )
    build = replace(build, kept=(*build.kept, *((name, "a constant") for name in names)))
    mod = phases.run("first_tokens_only", lambda: first_tokens_only.convert(mod))
    # 5. Token tiles through the encoder, fused kernels, packed weights.
    mod, packed, refusals = phases.run(
        "tile_tokens", lambda: tile_tokens.convert(mod, params, target, block_rows, build)
    )
    phases.remark(map(str, refusals))
    return mod, packed, decisions


def lower(
    mod: tvm.IRModule,
    params: Mapping[str, np.ndarray],
    target: CpuTarget,
    sparsity: SparsitySpec | None = None,
    phases: Phases | None = None,
    plan: LayerPlan = NO_PLAN,
    build: BuildSpec = SPARSE,
) -> Lowered:
    """Take an imported module through all phases up to kernels.

    Parameters
    ----------
    mod, params
        As imported, and the weights as they are to run; not changed.
    target : CpuTarget
        The CPU to build for.
    sparsity : SparsitySpec or None
        Block shape, threshold and layer choice of a sparse build; None for a dense one.
    phases : Phases, optional
        Timing, progress and dumps.
    plan : LayerPlan
        What was decided of the layers.
    build : BuildSpec
        Gives the formats of the weights.

    Raises
    ------
    PassError, SparsityError
        From the passes.
    """
    phases = phases or Phases()
    # 1. to 5. What depends on the weights.
    mod, packed, decisions = pack(mod, params, target, sparsity, phases, plan, build)
    # 6. Micro-batches follow each other.
    mod = phases.run("split_batch", lambda: split_batch.convert(mod))
    # 7. Operators become kernels; what is not ours is fused and scheduled plainly.
    with tvm_target(target):
        passes: tuple[tuple[str, Any], ...] = (
            # Cumulative sums and sorts, which no legalisation covers.
            ("dispatch_scans", relax.backend.DispatchSortScan()),
            ("legalize", fast_math.legalize()),
            ("annotate", _T.AnnotateTIROpPattern()),
            ("fold_constants", _T.FoldConstant()),
            ("fuse_ops", _T.FuseOps()),
            ("fuse_tir", _T.FuseTIR()),
            ("schedule_fallback", ScheduleFallback(target)),
            ("rewrite_reshape", _T.RewriteDataflowReshape()),
            # The reshapes that became views leave their kernels behind.
            ("remove_unused", _T.DeadCodeElimination(["main"])),
        )
        for name, module_pass in passes:
            mod = phases.run(name, partial(module_pass, mod))
    # 8. The last moment at which a kernel's arguments still carry the names of the weights.
    calls = layer_calls(mod)
    # The weights stay parameters: code and weights are exported side by side, and the same code
    # serves other weights of the same shapes.
    weights = {var.name: packed[var.name] for var in parameters(mod["main"])[1]}
    attrs = mod["main"].attrs
    tile = int(attrs.get(tile_tokens.TOKEN_TILE, 0))
    mixes = str(attrs.get(tile_tokens.MIXES_TOKENS, ""))
    stored = {
        str(name): (str(dtype), str(reason))
        for name, (dtype, reason) in (attrs.get(tile_tokens.STORED) or {}).items()
    }
    return Lowered(mod, weights, decisions, calls, tile, mixes, stored, phases.seconds)
