"""BERT's tokenizer from the files that come without tokenizer.json, as transformers reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from tvm_sparse.errors import InputError
from tvm_sparse.records.read import check_types, read_json

VOCABULARY_FILE = "vocab.txt"
SETTINGS_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"

_Id = Annotated[int, Meta(ge=0, le=1 << 24)]


class _Token(TypedDict, total=False):
    content: str
    lstrip: bool
    rstrip: bool
    single_word: bool
    normalized: bool
    special: bool


class _Names(TypedDict, total=False):
    unk_token: str | _Token
    sep_token: str | _Token
    pad_token: str | _Token
    cls_token: str | _Token
    mask_token: str | _Token


class _Settings(_Names, total=False):
    do_lower_case: bool
    tokenize_chinese_chars: bool
    strip_accents: bool | None
    added_tokens_decoder: dict[Annotated[str, Meta(pattern=r"^\d{1,8}$")], _Token]


_SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


def load_word_pieces(folder: Path) -> Any:
    """Return BERT's tokenizer: a basic split, then the longest pieces of the vocabulary.

    Parameters
    ----------
    folder : Path
        Holds `vocab.txt`, and maybe `tokenizer_config.json`, `special_tokens_map.json` and
        `added_tokens.json`.

    Raises
    ------
    InputError
        A file is damaged, or an added token has not the id that follows the vocabulary's.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    settings = _read(folder / SETTINGS_FILE, _Settings)
    names = {**_SPECIAL, **_read(folder / SPECIAL_TOKENS_FILE, _Names), **settings}
    special = {key: _content(names[key]) for key in _SPECIAL}
    unknown, start, end = special["unk_token"], special["cls_token"], special["sep_token"]
    tokens = (folder / VOCABULARY_FILE).read_text(encoding="utf-8").split("\n")
    vocab = {token.rstrip("\r"): i for i, token in enumerate(tokens) if token}
    missing = [token for token in (unknown, start, end) if token not in vocab]
    if missing:
        raise InputError(
            f"{folder / VOCABULARY_FILE} lacks {', '.join(missing)}: it is no vocabulary of BERT's"
        )
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=unknown))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
    )
    # Added tokens pass the normalizer that is there when they are added.
    tokenizer.add_special_tokens([token for token in special.values() if token in vocab])
    _add_tokens(tokenizer, folder, settings.get("added_tokens_decoder"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=[start, "$A", end],
        pair=[start, "$A", end, "$B:1", f"{end}:1"],
        special_tokens=[(token, vocab[token]) for token in (start, end)],
    )
    return tokenizer


def _add_tokens(tokenizer: Any, folder: Path, decoder: Mapping[str, _Token] | None) -> None:
    """Add tokens that are no pieces of words, from the settings or a file of older versions."""
    from tokenizers import AddedToken

    added: dict[int, _Token] = {int(i): token for i, token in (decoder or {}).items()}
    if decoder is None:
        found = _read(folder / ADDED_TOKENS_FILE, dict[str, _Id])
        added = {i: {"content": text} for text, i in found.items()}
    for i, token in sorted(added.items()):
        arguments: dict[str, Any] = dict(token)
        tokenizer.add_tokens([AddedToken(**arguments)])
        got = tokenizer.token_to_id(_content(token))
        if got != i:
            raise InputError(
                f"{folder} adds the token {_content(token)!r} with the id {i}, which follows the "
                f"vocabulary as {got}: fetch the tokenizer again"
            )


def _content(token: str | _Token) -> str:
    return token if isinstance(token, str) else token.get("content", "")


def _read(path: Path, kind: Any) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = check_types(read_json(path, InputError), kind, str(path), InputError)
    return found
