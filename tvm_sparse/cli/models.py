"""`tvm-sparse models`: the models known by a short name."""

from __future__ import annotations

import click


@click.command("models")
def command() -> None:
    """List the presets: models known by a short name.

    --model takes any of these, the hub id of another encoder, or a directory.
    """
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.fitted_table import FittedTable
    from tvm_sparse.sources.presets import load_presets

    table = FittedTable("Presets")
    table.add_column("name")
    table.add_column("hub id")
    table.add_column("builds", spare=9)
    for rank, column in enumerate(("layers", "hidden", "max tokens", "vocabulary", "heads")):
        table.add_column(column, right=True, spare=2 + rank)
    for preset in load_presets().values():
        facts = preset.config
        row = [
            facts.get(name, facts.get(other, "-"))
            for name, other in (
                ("num_hidden_layers", "n_layers"),
                ("hidden_size", "dim"),
                ("max_position_embeddings", ""),
                ("vocab_size", ""),
                ("num_attention_heads", "n_heads"),
            )
        ]
        table.add_row(preset.name, preset.hub_id, preset.architecture, *map(str, row))
    print_wide(table)
