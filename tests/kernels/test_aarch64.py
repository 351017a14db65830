"""Every kernel generates AArch64 object code, whatever machine the tests run on.

Its registers are counted in the code: here nothing measures what a spilled one would cost."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import pytest
import tvm

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.bsr_tiles import fitting_lanes
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout, split_rows
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.attention import make_attention
from tvm_sparse.kernels.attention_shape import AttentionShape
from tvm_sparse.kernels.bsr_sparse_dense import make_bsr_sparse_dense
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.kernels.open_dense import make_open_dense
from tvm_sparse.kernels.packed_dense import make_packed_dense
from tvm_sparse.kernels.tiling import attention_tile, panels_together
from tvm_sparse.kernels.token_layout import make_pack_tokens, make_unpack_tokens
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric

AARCH64, RELOCATABLE = 183, 1  # e_machine and e_type of the ELF header


def test_object_code(tmp_path):
    target = resolve_target("aarch64")
    layout = choose_layout(1, 21, target, 4)
    rows = split_rows(layout, target)
    everything = Epilogue(bias=True, residual=True, activation="gelu")
    shape = AttentionShape(2, 8, 8, (16, 16, 16), (0, 0, 0), 0.35, 1)
    kernels = {
        "sparse": make_bsr_sparse_dense(
            layout, 16, 12, (4, 1), rows, everything, SparseFormat(layout.token_tile)
        ),
        "sparse_low": make_bsr_sparse_dense(
            layout, 16, 12, (1, 1), rows, everything, SparseFormat(layout.token_tile, 8, 2, 2)
        ),
        "dense": make_packed_dense(layout, 16, 12, 4, everything),
        "attention": make_attention(layout, shape, *attention_tile(layout, target)),
        "layer_norm": make_layer_norm(layout, 16, 1e-12, layout.vectors, True),
        "pack": make_pack_tokens(layout, 16),
        "unpack": make_unpack_tokens(layout, 16),
    }
    module = tvm.IRModule(
        {name: func.with_attr("global_symbol", name) for name, func in kernels.items()}
    )
    library = tvm.compile(module, target=tvm_target(target))
    path = tmp_path / "kernels.o"
    library.mod.write_to_file(str(path), "o")
    header = path.read_bytes()[:20]
    assert header[:4] == b"\x7fELF"
    assert struct.unpack("<HH", header[16:20]) == (RELOCATABLE, AARCH64)
    assembly = library.mod.inspect_source("asm")
    assert "fmla\tv" in assembly, "products use vector multiply-add"
    for name in kernels:
        assert f"{name}" in assembly


def loops(assembly: str) -> Iterator[list[str]]:
    """Yield the instructions of every block of code that ends with a branch to its beginning."""
    for block in re.split(r"^(?=\.LBB)", assembly, flags=re.MULTILINE):
        label, *lines = block.splitlines()
        code = [line.strip() for line in lines if re.match(r"\t[a-z]", line)]
        ends = [n for n, line in enumerate(code) if line.endswith(f"{label.split(':')[0]}")]
        if ends:
            yield code[: ends[-1] + 1]


@pytest.mark.parametrize(
    "layout",
    [*(TokenLayout(1, 48, tile, 4) for tile in (4, 8, 12, 16)), TokenLayout(0, 0, 4, 4, 4)],
    ids=lambda layout: f"{'open ' * layout.is_open}{layout.width}",
)
def test_products_keep_their_accumulators_in_registers(layout):
    target = resolve_target("aarch64")
    rows = split_rows(layout, target)
    if layout.is_open:
        dense = make_open_dense(layout, 96, 64, panels_together(layout, 96, target), Epilogue())
    else:
        dense = make_packed_dense(layout, 4 * rows, 64, rows, Epilogue())
    kernels = {
        "dense": dense,
        "high": make_bsr_sparse_dense(
            layout, 8 * rows, 64, (rows, 1), rows, Epilogue(), SparseFormat(layout.token_tile)
        ),
        "low": make_bsr_sparse_dense(
            *(layout, 64, 64, (1, 1), rows, Epilogue()),
            SparseFormat(layout.token_tile, fitting_lanes(64, 1, layout, target)[0]),
        ),
    }
    for name, kernel in kernels.items():
        module = tvm.IRModule({name: kernel.with_attr("global_symbol", name)})
        assembly = tvm.compile(module, target=tvm_target(target)).mod.inspect_source("asm")
        product = max(loops(assembly), key=lambda code: sum("fmla" in line for line in code))
        assert sum("fmla" in line for line in product) >= 16
        assert not [line for line in product if "[sp" in line], name
