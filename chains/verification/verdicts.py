"""Verdicts from judgements of an entailment model."""

from collections.abc import Mapping

from chains.answer import Verdict
from chains.nli import Judgement, NLIModel
from common.errors import UserError

JUDGED = ("entailment", "neutral", "contradiction")  # labels of a model that gives verdicts


def check_judge(model: NLIModel, what: str) -> None:
    """Check that a model's labels can become verdicts; ``what`` begins the message, as "A statement is checked".

    Raises:
        UserError: the labels are others than entailment, neutral and contradiction.
    """
    if set(model.labels) != set(JUDGED):
        raise UserError(
            f"{what} by a model whose labels are {', '.join(JUDGED)}; this one has {', '.join(model.labels)}. Map the "
            "data's labels to those words with pairs.labels and train the model again, or set nli.model to another."
        )


def verdict_scores(judgement: Judgement) -> dict[Verdict, float]:
    """Probabilities of the verdicts on the hypothesis; a label that was read from text has probability 1."""
    given = judgement.label_scores or {judgement.label or "neutral": 1.0}
    entailed, ruled_out, left_open = (given.get(name, 0.0) for name in ("entailment", "contradiction", "neutral"))
    return {"supported": entailed, "contradicted": ruled_out, "not enough evidence": left_open}


def most_probable(scores: Mapping[Verdict, float]) -> Verdict:
    """The most probable verdict; of equally probable ones the one that claims less."""
    return max(reversed(list(scores)), key=scores.__getitem__)
