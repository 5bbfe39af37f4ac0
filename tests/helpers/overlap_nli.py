"""An NLI model for tests that judges by the words of premise and hypothesis."""

import re

from word_nli import WordNLI


class OverlapNLI(WordNLI):
    """Judges by the words of the premise and of each of its sentences.

    A text with all words of the hypothesis, except "not", gives entailment, or contradiction if only the text or only
    the hypothesis has "not"; otherwise the label is neutral.
    """

    def _label(self, premise: str, hypothesis: str) -> tuple[str, float]:
        label = "neutral"
        for sentence in [premise, *premise.split(".")]:
            words, claimed = (set(re.findall(r"\w+", text.lower())) for text in (sentence, hypothesis))
            if claimed - {"not"} <= words:
                label = "entailment" if ("not" in words) == ("not" in claimed) else "contradiction"
        # Longer premises have lower scores, so a single sentence has a higher one than the passage around it.
        return label, 0.9 - min(0.2, len(premise) / 2000)
