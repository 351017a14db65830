"""A value out of a few, and what was probably meant by another."""

from __future__ import annotations

from typing import Any

import click

from tvm_sparse.errors import did_you_mean


class Choice(click.Choice[str]):
    """One of a few words."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Refuse another word, and say which is like it."""
        return super().get_invalid_choice_message(value, ctx) + did_you_mean(value, self.choices)
