"""What the files beside a model's weights say about texts, for its artifact."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from tvm_sparse.errors import InputError
from tvm_sparse.model.text_facts import SentenceFacts, TextFacts
from tvm_sparse.records.read import check_types, parse_json, read_bytes
from tvm_sparse.text.card import CARD_FILE, read_card
from tvm_sparse.text.sentence_modules import SENTENCE_FILES, read_sentence_facts
from tvm_sparse.text.tokens import TOKENIZER_FILE, has_tokenizer, read_tokenizer
from tvm_sparse.text.word_pieces import (
    ADDED_TOKENS_FILE,
    SETTINGS_FILE,
    SPECIAL_TOKENS_FILE,
    VOCABULARY_FILE,
)

_FILES = {
    *(TOKENIZER_FILE, VOCABULARY_FILE, SETTINGS_FILE, SPECIAL_TOKENS_FILE, ADDED_TOKENS_FILE),
    *(CARD_FILE, *SENTENCE_FILES),
}
_POOLING_FILE = re.compile(r"\d{1,3}_Pooling/config\.json")
_MOST_BYTES = 16 << 20
#: Tokenizers without a limit have one of thirty digits.
_ENDLESS = re.compile(rb'("model_max_length"\s*:\s*)\d{10,}')
#: Of the roles that tasks use, the tokens that most models have for them.
_USUAL = {
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "mask": ("[MASK]", "<mask>"),
}
#: Families whose tokenizers do not say which text of a pair a token is from.
_WITHOUT_TYPES = {
    *("bart", "bigbird", "camembert", "distilbert", "longformer", "mpnet", "roberta"),
    *("xlmroberta",),
}


class _Token(TypedDict, total=False):
    content: str


class _Settings(TypedDict, total=False):
    cls_token: str | _Token | None
    sep_token: str | _Token | None
    pad_token: str | _Token | None
    unk_token: str | _Token | None
    mask_token: str | _Token | None
    tokenizer_class: str | None
    model_max_length: int | float | None
    model_input_names: list[str] | None
    clean_up_tokenization_spaces: bool | None


def is_text_file(name: str) -> bool:
    """Tell by its path in a checkpoint whether a file is one of those that are read here."""
    return name in _FILES or _POOLING_FILE.fullmatch(name) is not None


def read_text_files(folder: Path, config: Mapping[str, Any]) -> tuple[TextFacts, str] | None:
    """Read a checkpoint's tokenizer, and what is said about it.

    Parameters
    ----------
    folder : Path
        The checkpoint's directory.
    config : mapping
        Its `config.json`.

    Returns
    -------
    tuple of TextFacts and str, or None
        The facts and the content of `tokenizer.json`; None if there is no tokenizer.

    Raises
    ------
    InputError
        One of the files is damaged.
    """
    if not has_tokenizer(folder):
        return None
    tokenizer = read_tokenizer(folder)
    settings = _read_settings(folder / SETTINGS_FILE)
    named = {**_read_settings(folder / SPECIAL_TOKENS_FILE), **settings}
    length = settings.get("model_max_length")
    special = _special_tokens(named, tokenizer)
    # As transformers has it: they stay whole in texts, whether the file says so or not.
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    tokenizer.add_special_tokens([token for token in special.values() if token not in added])
    facts = TextFacts(
        special_tokens=special,
        max_length=int(length) if length and 0 < length < 1e9 else None,
        token_types=_has_types(settings, str(config.get("model_type", ""))),
        clean_up=bool(settings.get("clean_up_tokenization_spaces")),
        sentences=read_sentence_facts(folder) or SentenceFacts(),
        card=read_card(folder),
    )
    return facts, tokenizer.to_str()


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    data = _ENDLESS.sub(rb"\1null", read_bytes(path, _MOST_BYTES, InputError))
    document = parse_json(data, str(path), InputError)
    found: dict[str, Any] = check_types(document, _Settings, str(path), InputError)
    return found


def _special_tokens(named: Mapping[str, Any], tokenizer: Any) -> dict[str, str]:
    """Return the tokens of the roles that the vocabulary has."""
    found = {}
    for role, usual in _USUAL.items():
        token = named.get(f"{role}_token")
        content = token.get("content", "") if isinstance(token, dict) else token
        candidates = (content,) if content else usual
        known = (name for name in candidates if tokenizer.token_to_id(name) is not None)
        if name := next(known, None):
            found[role] = name
    return found


def _has_types(settings: Mapping[str, Any], model_type: str) -> bool:
    names = settings.get("model_input_names")
    if names is not None:
        return "token_type_ids" in names
    family = settings.get("tokenizer_class") or model_type
    plain = re.sub(r"tokenizer|fast|[-_]", "", family.lower())
    return plain not in _WITHOUT_TYPES
