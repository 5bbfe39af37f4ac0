"""An entailment model for tests that finds what a text says of the last word of a question."""

from collections.abc import Sequence

from chains.nli import Judgement, NLIModel, Pair
from common.errors import UserError


class WordNLI(NLIModel):
    """Judges "Is it so of WORD? The answer is yes." by whether the premise says "WORD works" or "WORD fails".

    ``passes`` keeps the pairs of each call. A premise with "TOO LONG" cannot be judged; one with "FAINTLY" is judged
    less surely.
    """

    def __init__(
        self, labels: Sequence[str] = ("entailment", "neutral", "contradiction"), *, scored: bool = True
    ) -> None:
        self.labels = tuple(labels)
        self.passes: list[list[Pair]] = []
        self._scored = scored

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self.passes.append(list(pairs))
        return [self._one(*pair) for pair in pairs]

    def _one(self, premise: str, hypothesis: str) -> Judgement | UserError:
        if "TOO LONG" in premise:
            return UserError("The pair is too long.")
        question, _, answer = hypothesis.partition("? The answer is ")
        word = question.split()[-1].lower()
        works, fails = (f"{word} {verb}" in premise.lower() for verb in ("works", "fails"))
        said_yes = answer.startswith("yes")
        sure = 0.6 if "FAINTLY" in premise else 0.9
        scores = {"entailment": (1 - sure) / 2, "neutral": (1 - sure) / 2, "contradiction": (1 - sure) / 2}
        if not works and not fails:
            label = "neutral"
        else:
            label = "entailment" if (works if said_yes else fails) else "contradiction"
        scores[label] = sure
        return Judgement(
            label=label, label_scores=scores if self._scored else {}, output=None if self._scored else label
        )
