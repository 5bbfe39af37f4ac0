"""An NLI model for tests that judges by the words of premise and hypothesis."""

import re
from collections.abc import Sequence

from chains.nli import Judgement, NLIModel, Pair
from common.errors import UserError


class OverlapNLI(NLIModel):
    """Entailment if the premise or a sentence of it has all words of the hypothesis, contradiction if one has "not".

    ``calls`` records the pairs of each call. A premise with "TOO LONG" is an error. If not ``scored``, judgements have
    an output in place of label scores.
    """

    labels = ("entailment", "neutral", "contradiction")

    def __init__(self, *, scored: bool = True) -> None:
        self.calls: list[list[Pair]] = []
        self._scored = scored

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self.calls.append(list(pairs))
        return [self._judge(*pair) for pair in pairs]

    def _judge(self, premise: str, hypothesis: str) -> Judgement | UserError:
        if "TOO LONG" in premise:
            return UserError("The pair is too long.")
        label = "neutral"
        for sentence in [premise, *premise.split(".")]:
            words, claimed = (set(re.findall(r"\w+", text.lower())) for text in (sentence, hypothesis))
            if claimed - {"not"} <= words:
                label = "entailment" if ("not" in words) == ("not" in claimed) else "contradiction"
        # Longer premises have lower scores, so a single sentence has a higher one than the passage around it.
        score = 0.9 - min(0.2, len(premise) / 2000)
        scores = {name: score if name == label else (1 - score) / 2 for name in self.labels}
        return Judgement(
            label=label, label_scores=scores if self._scored else {}, output=None if self._scored else label
        )
