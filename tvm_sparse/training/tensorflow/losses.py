"""What a pruned model is trained by: the distance of its outputs from the dense model's."""

from __future__ import annotations

from typing import Any

from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

_LOGITS = ("logits", "start_logits", "end_logits")


def distance(student: Any, teacher: Any, mask: Any) -> Any:
    """Return the distance of two models' outputs by name, a scalar tensor.

    It is the mean of the hidden states' relative squared errors, layer by layer, plus one minus the
    cosine of mean-pooled embeddings, plus the Kullback-Leibler divergence of all logits. `mask`,
    int32 (batch, seq_len), is 1 where a token is: padding counts for nothing.
    """
    tf = import_tensorflow()
    weights = tf.cast(mask, tf.float32)
    terms = []
    pairs = list(zip(_hidden(student), _hidden(teacher), strict=True))
    if pairs:
        errors = [_relative_error(tf, mine, theirs, weights) for mine, theirs in pairs]
        terms.append(tf.add_n(errors) / len(errors))
        unit = [tf.math.l2_normalize(_pooled(tf, h, weights), axis=-1) for h in pairs[-1]]
        terms.append(tf.reduce_mean(1 - tf.reduce_sum(unit[0] * unit[1], axis=-1)))
    for name in _LOGITS:
        if student.get(name) is not None:
            terms.append(_divergence(tf, name, student[name], teacher[name], weights))
    return tf.add_n(terms)


def _hidden(outputs: Any) -> list[Any]:
    """Return the outputs of all layers, without the embeddings, which are not trained."""
    states = outputs.get("hidden_states")
    if states is not None:
        return list(states)[1:]
    last = outputs.get("last_hidden_state")
    return [] if last is None else [last]


def _relative_error(tf: Any, mine: Any, theirs: Any, weights: Any) -> Any:
    shares = weights[:, :, None]
    error = tf.reduce_sum(tf.square(mine - theirs) * shares)
    return error / tf.maximum(tf.reduce_sum(tf.square(theirs) * shares), 1e-6)


def _pooled(tf: Any, hidden: Any, weights: Any) -> Any:
    total = tf.reduce_sum(hidden * weights[:, :, None], axis=1)
    return total / tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1.0)


def _divergence(tf: Any, name: str, mine: Any, theirs: Any, weights: Any) -> Any:
    if name != "logits":  # of answer spans: the classes are the tokens
        padding = (1 - weights) * -1e4
        mine, theirs = mine + padding, theirs + padding
    if mine.shape[-1] == 1:  # regression
        return tf.reduce_mean(tf.square(mine - theirs))
    wanted, found = tf.nn.log_softmax(theirs), tf.nn.log_softmax(mine)
    each = tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)
    if len(each.shape) == 1:
        return tf.reduce_mean(each)
    return tf.reduce_sum(each * weights) / tf.reduce_sum(weights)
