"""Verdicts from judgements of an entailment model."""

from collections.abc import Mapping

from chains.answer import Passage, Verdict
from chains.nli import NLI_LABELS, Judgement, NLIModel
from common.errors import UserError
from corpus.evidence import sentences
from corpus.sentences import Span, sentence_spans


def check_judge(model: NLIModel, use: str) -> None:
    """Raise ``UserError`` unless a model's labels are entailment, neutral and contradiction.

    ``use`` begins the error message, such as "A statement is checked".
    """
    if set(model.labels) != set(NLI_LABELS):
        raise UserError(
            f"{use} by a model whose labels are {', '.join(NLI_LABELS)}; this one has {', '.join(model.labels)}. Map "
            "the data's labels to those words with pairs.labels and train the model again, or set another nli.model."
        )


def verdict_scores(judgement: Judgement) -> dict[Verdict, float]:
    """Probabilities of the verdicts on the hypothesis; a label parsed from text has probability 1."""
    scores = judgement.label_scores or {judgement.label or "neutral": 1.0}
    return {
        "supported": scores.get("entailment", 0.0),
        "contradicted": scores.get("contradiction", 0.0),
        "not enough evidence": scores.get("neutral", 0.0),
    }


def most_probable(scores: Mapping[Verdict, float]) -> Verdict:
    """The most probable verdict; if several are, the last of them: "not enough evidence" is last and claims least."""
    return max(reversed(list(scores)), key=scores.__getitem__)


def strength(scores: Mapping[Verdict, float]) -> float:
    """The strength of evidence: the greater of the probabilities of "supported" and "contradicted"."""
    return max(scores["supported"], scores["contradicted"])


def evidence_spans(passage: Passage, start: int = 0, end: int | None = None) -> list[Span]:
    """The sentences in ``passage.text[start:end]``, except headings, references and tables of contents.

    If no other sentence remains, all sentences.
    """
    spans = sentence_spans(passage.text, start, end)
    excluded = [one for one in sentences(passage.text, *passage.section_and_title) if not one.is_evidence]
    return [
        (start, end) for start, end in spans if not any(one.start <= start and end <= one.end for one in excluded)
    ] or spans


def count_passages(count: int) -> str:
    """The text "1 passage" or "N passages"."""
    return "1 passage" if count == 1 else f"{count} passages"
