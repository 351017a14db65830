"""`tvm-sparse models`: the models known by a short name."""

from __future__ import annotations

import click


@click.command("models")
def command() -> None:
    """List the presets: models known by a short name.

    --model takes any of these, the hub id of another encoder, or a directory.
    """
    from tvm_sparse.cli.results import print_wide
    from tvm_sparse.report.table import make_table
    from tvm_sparse.sources.presets import load_presets

    table = make_table("Presets")
    for column in ("name", "hub id", "builds"):
        table.add_column(column, overflow="fold")
    for column in ("layers", "hidden", "heads", "vocabulary", "max tokens"):
        table.add_column(column, justify="right")
    for preset in load_presets().values():
        facts = preset.config
        row = [
            facts.get(name, facts.get(other, "-"))
            for name, other in (
                ("num_hidden_layers", "n_layers"),
                ("hidden_size", "dim"),
                ("num_attention_heads", "n_heads"),
                ("vocab_size", ""),
                ("max_position_embeddings", ""),
            )
        ]
        table.add_row(preset.name, preset.hub_id, preset.architecture, *map(str, row))
    print_wide(table)
