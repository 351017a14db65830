"""Tables and sentences about fidelity: how close a pruned model is to the dense one."""

from __future__ import annotations

from tvm_sparse.fidelity.record import EvaluationRecord
from tvm_sparse.report.fitted_table import FittedTable
from tvm_sparse.words import counted

_MEANINGS = {
    "cosine_mean": "cosine of embeddings, mean",
    "cosine_p05": "cosine of embeddings, 5th percentile",
    "cosine_min": "cosine of embeddings, least",
    "neighbour_agreement": "same nearest neighbour",
    "agreement": "same prediction",
    "kl_nats": "KL divergence of predictions (nats)",
    "exact_match": "same answer span",
    "overlap_f1": "overlap of answer spans (F1)",
    "mean_squared_error": "mean squared difference",
    "accuracy": "accuracy",
    "f1": "F1",
    "pearson": "Pearson correlation",
    "spearman": "Spearman correlation",
}
_LABEL_MEANINGS = {**_MEANINGS, "exact_match": "exact match"}
_SHARES = {"neighbour_agreement", "agreement", "exact_match", "overlap_f1", "accuracy", "f1"}


def render_evaluation(record: EvaluationRecord) -> FittedTable:
    """Return the table of an evaluation: measures, and scores against labels if there are any."""
    table = FittedTable(
        f"{record.candidate.name} against {record.reference.name}, {counted(record.texts, 'text')}"
    )
    scores = record.reference.scores
    table.add_column(bold=True)
    for column in ("dense", "pruned") if scores else ():
        table.add_column(column, right=True)
    table.add_column("pruned\nagainst dense", right=True)
    blank = [""] * (2 if scores else 0)
    for name, value in record.measures.items():
        if name in _MEANINGS:
            table.add_row(_MEANINGS[name], *blank, _value(name, value))
    for name, dense in scores.items():
        pruned = record.candidate.scores[name]
        table.add_row(
            f"{_LABEL_MEANINGS[name]} (labels)",
            _value(name, dense),
            _value(name, pruned),
            f"{100 * (pruned - dense):+.1f} points"
            if name in _SHARES
            else f"{pruned - dense:+.4f}",
        )
    return table


def describe_evaluation(record: EvaluationRecord) -> str:
    """Return what an evaluation says in sentences."""
    measures = record.measures
    if "cosine_mean" in measures:
        said = f"Embeddings of the pruned model have a mean cosine of {measures['cosine_mean']:.4f}"
        if "neighbour_agreement" in measures:
            said += (
                f", and {measures['neighbour_agreement']:.1%} of the texts keep their nearest "
                "neighbour"
            )
    elif "agreement" in measures:
        said = f"The pruned model predicts the same in {measures['agreement']:.1%} of all cases"
    elif "exact_match" in measures:
        said = f"The pruned model marks the same answer in {measures['exact_match']:.1%} of texts"
    else:
        said = f"The mean squared difference is {measures['mean_squared_error']:.4g}"
    sentences = [f"{said}."]
    if record.truncated:
        were = "was" if record.truncated == 1 else "were"
        sentences.append(
            f"{counted(record.truncated, 'text')} {were} cut to {record.seq_len} tokens."
        )
    seeded = [side.name for side in (record.reference, record.candidate) if side.seeded]
    if seeded:
        sentences.append(
            f"The weights of {' and '.join(dict.fromkeys(seeded))} are made up: this says nothing "
            "about a trained model."
        )
    return " ".join(sentences)


def _value(name: str, value: float) -> str:
    return f"{value:.1%}" if name in _SHARES else f"{value:.4f}"
