"""An NLI model for tests that judges by one word of the question."""

from collections.abc import Sequence

from chains.nli import Judgement, NLIModel, Pair
from common.errors import UserError


class WordNLI(NLIModel):
    """Judges "Is it so of WORD? The answer is yes." by whether the premise contains "WORD works" or "WORD fails".

    ``calls`` records the pairs of each call. A premise with "TOO LONG" gives an error. The score
    of the label is 0.9, or 0.6 if the premise has "FAINTLY". If not ``scored``, judgements have an output in place of
    label scores.
    """

    def __init__(
        self, labels: Sequence[str] = ("entailment", "neutral", "contradiction"), *, scored: bool = True
    ) -> None:
        self.labels = tuple(labels)
        self.calls: list[list[Pair]] = []
        self._scored = scored

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self.calls.append(list(pairs))
        return [self._judge(*pair) for pair in pairs]

    def _judge(self, premise: str, hypothesis: str) -> Judgement | UserError:
        if "TOO LONG" in premise:
            return UserError("The pair is too long.")
        label, score = self._label(premise, hypothesis)
        scores = dict.fromkeys(("entailment", "neutral", "contradiction"), (1 - score) / 2) | {label: score}
        return Judgement(
            label=label, label_scores=scores if self._scored else {}, output=None if self._scored else label
        )

    def _label(self, premise: str, hypothesis: str) -> tuple[str, float]:
        """The label and its score."""
        question, _, answer = hypothesis.partition("? The answer is ")
        word = question.split()[-1].lower()
        works, fails = (f"{word} {verb}" in premise.lower() for verb in ("works", "fails"))
        score = 0.6 if "FAINTLY" in premise else 0.9
        if not works and not fails:
            return "neutral", score
        return "entailment" if (works if answer.startswith("yes") else fails) else "contradiction", score
