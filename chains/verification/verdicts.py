"""Verdicts from judgements of an entailment model."""

from collections.abc import Mapping, Sequence

from chains.answer import Passage, Verdict
from chains.nli import NLI_LABELS, Judgement, NLIModel
from common.errors import UserError
from corpus.evidence import sentences
from corpus.sentences import Span


def check_judge(model: NLIModel, what: str) -> None:
    """Raise ``UserError`` unless a model's labels are entailment, neutral and contradiction.

    ``what`` begins the message, as "A statement is checked".
    """
    if set(model.labels) != set(NLI_LABELS):
        raise UserError(
            f"{what} by a model whose labels are {', '.join(NLI_LABELS)}; this one has {', '.join(model.labels)}. Map "
            "the data's labels to those words with pairs.labels and train the model again, or set another nli.model."
        )


def verdict_scores(judgement: Judgement) -> dict[Verdict, float]:
    """Probabilities of the verdicts on the hypothesis; a label parsed from text has probability 1."""
    given = judgement.label_scores or {judgement.label or "neutral": 1.0}
    entailed, ruled_out, left_open = (given.get(name, 0.0) for name in ("entailment", "contradiction", "neutral"))
    return {"supported": entailed, "contradicted": ruled_out, "not enough evidence": left_open}


def most_probable(scores: Mapping[Verdict, float]) -> Verdict:
    """The most probable verdict; among equals, the one that claims less."""
    return max(reversed(list(scores)), key=scores.__getitem__)


def strength(scores: Mapping[Verdict, float]) -> float:
    """How strongly a text supports or contradicts a statement: the probability of the likelier of the two."""
    return max(scores["supported"], scores["contradicted"])


def evidence_spans(passage: Passage, spans: Sequence[Span]) -> list[Span]:
    """The spans that are evidence; all of them if none is. Headings, references and contents are not."""
    section, title = (str(passage.metadata.get(name) or "") for name in ("section", "title"))
    others = [one for one in sentences(passage.text, section, title) if not one.is_evidence]
    return [
        (start, end) for start, end in spans if not any(one.start <= start and end <= one.end for one in others)
    ] or list(spans)


def count_passages(count: int) -> str:
    """The number of passages in words."""
    return "1 passage" if count == 1 else f"{count} passages"
