"""How a model's hidden states become sentence embeddings: the files of sentence-transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from tvm_sparse.errors import InputError
from tvm_sparse.model.text_facts import PoolingMode, SentenceFacts
from tvm_sparse.records.read import check_types, read_json

MODULES_FILE = "modules.json"
SETTINGS_FILE = "sentence_bert_config.json"
PROMPTS_FILE = "config_sentence_transformers.json"
SENTENCE_FILES = (MODULES_FILE, SETTINGS_FILE, PROMPTS_FILE)
#: Keys of a pooling's `config.json`, in the order in which its vectors are concatenated.
_POOLINGS: dict[str, PoolingMode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_Path = Annotated[str, Meta(pattern=r"^(?!\.\.)[\w.-]{0,100}$")]


class _Module(TypedDict):
    path: _Path
    type: str


class _Settings(TypedDict, total=False):
    max_seq_length: Annotated[int, Meta(ge=1, le=1 << 30)] | None
    do_lower_case: bool


class _Prompts(TypedDict, total=False):
    prompts: dict[str, str] | None
    default_prompt_name: str | None


def read_sentence_facts(folder: Path) -> SentenceFacts | None:
    """Return what the modules in a model's directory do, None where there are none.

    Raises
    ------
    InputError
        One of the files is damaged.
    """
    modules: list[_Module] = _read(folder / MODULES_FILE, list[_Module])
    if not modules:
        return None
    settings: dict[str, Any] = _read(folder / SETTINGS_FILE, _Settings) or {}
    prompts: dict[str, Any] = _read(folder / PROMPTS_FILE, _Prompts) or {}
    pooling: tuple[PoolingMode, ...] = ()
    normalize, unread = False, []
    for module in modules:
        kind = module["type"].rpartition(".")[2]
        if kind == "Pooling":
            pooling = _pooling(folder / module["path"] / "config.json")
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            unread.append(kind)
    if not pooling:
        unread.append("a model without pooling")
    return SentenceFacts(
        pooling=pooling,
        normalize=normalize,
        max_length=settings.get("max_seq_length"),
        lowercase=settings.get("do_lower_case", False),
        prompts=prompts.get("prompts") or {},
        default_prompt=prompts.get("default_prompt_name") or "",
        unread=", ".join(unread),
    )


def _pooling(path: Path) -> tuple[PoolingMode, ...]:
    config: dict[str, Any] = _read(path, dict[str, Any]) or {}
    return tuple(mode for key, mode in _POOLINGS.items() if config.get(key) is True)


def _read(path: Path, kind: Any) -> Any:
    if not path.is_file():
        return None
    return check_types(read_json(path, InputError), kind, str(path), InputError)
