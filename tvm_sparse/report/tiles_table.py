"""What `tvm-sparse tune` found, as tables and a sentence per build."""

from __future__ import annotations

from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.tiles import Tiles
from tvm_sparse.tuning.tuned_build import TunedBuild


def render_tiles(build: TunedBuild) -> FittedTable:
    """Return the products of a build with their tiles before and after."""
    table = FittedTable(f"{build.name} products")
    table.add_column("N x K")
    for name in ("calls", "ms", "tuned ms", "gain"):
        table.add_column(name, right=True)
    table.add_column("tiles", wraps=True, spare=1)
    table.add_column("tuned tiles", wraps=True)
    for product in build.products:
        table.add_row(
            f"{product.units} x {product.depth}",
            str(product.calls),
            f"{product.before_ms:.3g}",
            f"{product.after_ms:.3g}",
            f"{product.before_ms / product.after_ms:.2f}x",
            describe_tiles(product.before),
            describe_tiles(product.after) if product.after != product.before else "the same",
        )
    return table


def describe_tiles(tiles: Tiles) -> str:
    """Return the tiles of one product in words."""
    words = [f"{tile.vectors} vectors of tokens" for tile in tiles.tokens]
    words += [f"{tile.rows} rows" for tile in tiles.dense]
    for tile in tiles.sparse:
        words += [f"{tile.lanes} block rows", f"{tile.panels} panels"]
        words += ["looking ahead"] * bool(tile.lookahead)
    return ", ".join(words)


def describe_build(build: TunedBuild) -> str:
    """Return in words what tuning did to a build."""
    if not build.before_ms:
        return f"The {build.name} build has the fastest tiles already."
    ratio = build.before_ms / build.after_ms
    measured = (
        f"{build.before_ms:.2f} ms before and {build.after_ms:.2f} ms after, measured in turns "
        f"(medians): {ratio:.3f}x"
    )
    if build.is_kept:
        return f"The {build.name} build takes {measured}. Its tiles are kept."
    return f"The {build.name} build takes {measured}. That is not worth a change: it stays."
