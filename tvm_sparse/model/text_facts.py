"""What a model needs to know besides its weights to be used on texts.

The export reads it from the files beside the weights; whoever runs an artifact reads it there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: How hidden states become one vector, in the order in which several are concatenated.
PoolingMode = Literal["cls", "max", "mean", "mean_sqrt_len", "weightedmean", "lasttoken"]


@dataclass(frozen=True)
class SentenceFacts:
    """How a model's hidden states become sentence embeddings, as sentence-transformers has it.

    Attributes
    ----------
    pooling : tuple of str
        Vectors that are concatenated.
    normalize : bool
        Whether embeddings have the length 1.
    max_length : int or None
        Tokens of a text that are read, special ones included; None for as many as the tokenizer.
    lowercase : bool
        Whether texts are made lower case before they are split.
    prompts, default_prompt : dict of str to str, str
        What is put before a text, by name, and the name that is used by default; empty for none.
    unread : str
        What of the model's modules is not computed; empty if everything is.
    """

    pooling: tuple[PoolingMode, ...] = ("mean",)
    normalize: bool = False
    max_length: int | None = None
    lowercase: bool = False
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str = ""
    unread: str = ""


@dataclass(frozen=True)
class CardFacts:
    """What a model's card says in its header: empty where it says nothing."""

    license: str = ""
    languages: tuple[str, ...] = ()
    base_models: tuple[str, ...] = ()


@dataclass(frozen=True)
class TextFacts:
    """How a model takes texts.

    Attributes
    ----------
    special_tokens : dict of str to str
        Tokens by their roles: `cls`, `sep`, `pad`, `unk`, `mask`.
    max_length : int or None
        Tokens of one input that the tokenizer is made for; None for no limit.
    token_types : bool
        Whether the model is told which text of a pair a token is from.
    clean_up : bool
        Whether spaces before punctuation go when tokens become a text again.
    sentences : SentenceFacts
        How it makes sentence embeddings.
    card : CardFacts
        Whose model it is.
    """

    special_tokens: dict[str, str]
    max_length: int | None = None
    token_types: bool = True
    clean_up: bool = False
    sentences: SentenceFacts = field(default_factory=SentenceFacts)
    card: CardFacts = field(default_factory=CardFacts)
