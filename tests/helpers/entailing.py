"""An entailment model for tests: a statement follows from a text that has all its words, and "not" contradicts it."""

import re
from collections.abc import Sequence

from chains.nli import Judgement, NLIModel, Pair
from common.errors import UserError


class Entailing(NLIModel):
    """``passes`` keeps the pairs of each call. A premise with "TOO LONG" cannot be judged."""

    labels = ("entailment", "neutral", "contradiction")

    def __init__(self, *, scored: bool = True) -> None:
        self.passes: list[list[Pair]] = []
        self._scored = scored

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        self.passes.append(list(pairs))
        return [self._one(*pair) for pair in pairs]

    def _one(self, premise: str, statement: str) -> Judgement | UserError:
        if "TOO LONG" in premise:
            return UserError("The pair is too long.")
        label = "neutral"
        for sentence in [premise, *premise.split(".")]:
            read, claimed = (set(re.findall(r"\w+", text.lower())) for text in (sentence, statement))
            if claimed - {"not"} <= read:
                label = "entailment" if ("not" in read) == ("not" in claimed) else "contradiction"
        # Longer premises are judged less surely, so that the sentence which decides is the surest.
        sure = 0.9 - min(0.2, len(premise) / 2000)
        scores = {name: sure if name == label else (1 - sure) / 2 for name in self.labels}
        return Judgement(
            label=label, label_scores=scores if self._scored else {}, output=None if self._scored else label
        )
