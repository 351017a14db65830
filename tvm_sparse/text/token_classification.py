"""Classes of the tokens of a text, and the entities they make up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, get_args

from numpy.typing import NDArray

from tvm_sparse.errors import InputError, check_word
from tvm_sparse.text.entities import Token, aggregate_words, group_entities, token_entity
from tvm_sparse.text.labels import class_names
from tvm_sparse.text.scores import softmax
from tvm_sparse.text.text_model import Example, TextModel, as_list

#: `none`: every token for itself; `simple`: neighbours of one class are one entity; the others do
#: so with whole words, which have the class of their first token, of the surest one, or of the
#: mean of all.
Aggregation = Literal["none", "simple", "first", "max", "average"]
Entity = dict[str, Any]


class TokenClassification:
    """Says of which classes the tokens of a text are.

    Parameters
    ----------
    model : TextModel
        A model for classes of tokens.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        aggregation_strategy: Aggregation = "none",
        ignore_labels: Sequence[str] = ("O",),
        stride: int | None = None,
    ) -> list[Entity] | list[list[Entity]]:
        """Return the entities of texts.

        Parameters
        ----------
        texts : str or iterable of str
            One text, or several.
        aggregation_strategy : str
            How tokens become entities: `none`, `simple`, `first`, `max` or `average`.
        ignore_labels : sequence of str
            Classes that are no entities.
        stride : int or None
            Read long texts whole, in parts that share so many tokens; None cuts them.

        Returns
        -------
        list of dict, or a list of these for several texts
            `entity` (or `entity_group`, of several tokens), `score`, `word`, `start` and `end`,
            characters of the text; `index`, the token's number, where there is no aggregation.

        Raises
        ------
        InputError, ConfigError
            What is given is no text; there is no such strategy; a stride leaves no room.
        """
        given, many = as_list(texts)
        check_word("aggregation_strategy", aggregation_strategy, get_args(Aggregation))
        if stride is not None:
            self._check_stride(stride, aggregation_strategy)
        found = []
        for text, parts in self._parts(given, stride):
            entities: list[Entity] = []
            for encoding, logits in parts:
                tokens = self._tokens(text, encoding, softmax(logits), aggregation_strategy)
                entities += [
                    entity
                    for entity in self._entities(tokens, aggregation_strategy)
                    if entity.get("entity", entity.get("entity_group")) not in ignore_labels
                ]
            found.append(_without_overlaps(entities) if len(parts) > 1 else entities)
        return found if many else found[0]

    def _check_stride(self, stride: int, strategy: Aggregation) -> None:
        most = self._model.most_tokens - self._model.tokenizer.special_count(False) - 1
        if not 0 <= stride <= most:
            raise InputError(f"stride {stride} given: it is 0 to {most} tokens")
        if strategy == "none":
            raise InputError("a stride given: it needs an aggregation_strategy, for example simple")

    def _parts(
        self, texts: Sequence[str], stride: int | None
    ) -> Iterator[tuple[str, list[tuple[Any, NDArray[Any]]]]]:
        """Yield each text with the encodings and the logits of its parts."""
        if stride is None:
            for text, (encoding, outputs) in zip(
                texts, self._model.run(map(Example, texts), offsets=True), strict=True
            ):
                yield text, [(encoding, outputs["logits"])]
            return
        for text in texts:
            whole = self._model.tokenizer.encode(text, most=self._model.most_tokens, stride=stride)
            found = self._model.run_encodings([whole, *whole.overflowing])
            yield text, [(encoding, outputs["logits"]) for encoding, outputs in found]

    def _tokens(
        self, text: str, encoding: Any, scores: NDArray[Any], strategy: Aggregation
    ) -> list[Token]:
        tokenizer = self._model.tokenizer
        tokens = []
        rows = zip(
            encoding.ids, encoding.offsets, encoding.special_tokens_mask, scores, strict=True
        )
        for index, (number, (start, end), special, row) in enumerate(rows):
            if special:
                continue
            word = tokenizer.token_of(number)
            if tokenizer.marks_words:
                continues = len(word) != end - start
            else:
                continues = start > 0 and " " not in text[start - 1 : start + 1]
            if number == tokenizer.special.get("unk"):
                word, continues = text[start:end], False
            tokens.append(Token(word, row, start, end, index, continues))
        return tokens

    def _entities(self, tokens: list[Token], strategy: Aggregation) -> list[Entity]:
        if not tokens:
            return []
        names = class_names(self._model.description.config, len(tokens[0].scores))
        if strategy == "none":
            return [token_entity(token, names) for token in tokens]
        join = self._model.tokenizer.join
        if strategy == "simple":
            entities = [token_entity(token, names) for token in tokens]
        else:
            entities = aggregate_words(tokens, names, strategy, join)
        return group_entities(entities, join)


def _without_overlaps(entities: list[Entity]) -> list[Entity]:
    """Return entities in their order; of those that overlap the longest, or the surest."""
    kept: list[Entity] = []
    for entity in sorted(entities, key=lambda one: one["start"]):
        if not kept or not kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            kept.append(entity)
            continue
        lengths = [one["end"] - one["start"] for one in (entity, kept[-1])]
        surer = entity["score"] > kept[-1]["score"]
        if lengths[0] > lengths[1] or (lengths[0] == lengths[1] and surer):
            kept[-1] = entity
    return kept
