"""Agreement of two models on the labels of the same pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chains.models.local import LocalLLM
from chains.models.scoring import Scorable, label_log_likelihoods
from chains.prompts import PromptFamily
from common.errors import UserError
from corpus.inference.pairs import NLIPair
from eval.progress import chunks_with_progress
from finetune.pairs import nli_prompts

_PAIRS_BETWEEN_UPDATES = 256  # pairs scored between two updates of the progress bar


@dataclass(frozen=True, slots=True)
class Comparison:
    """The agreement of two models over all pairs.

    A label's logit is the natural logarithm of the probability that a model gives the label after the prompt. The
    probability is over the whole vocabulary, not over the labels.

    Attributes:
        agreement: share of the pairs for which both models have the same most probable label.
        logit_difference: largest absolute difference of a label's logit.
    """

    agreement: float
    logit_difference: float

    def __str__(self) -> str:
        return f"{self.agreement:.2%} of the labels agree, largest logit difference {self.logit_difference:.2g}"


class PairScorer:
    """Scores the labels of the same pairs with several models, in the prompts of the NLI chain.

    Args:
        llm: the first model to score; pairs longer than its window are left out.
        pairs: the pairs.
        labels: the candidate labels, two or more.
        family: the prompts' wording.

    Raises:
        UserError: no pair fits the window.
    """

    def __init__(self, llm: LocalLLM, pairs: Sequence[NLIPair], labels: Sequence[str], *, family: PromptFamily) -> None:
        self._labels = tuple(labels)
        self._family = family
        self.pairs = tuple(
            pair
            for pair, prompt in zip(pairs, self._scorables(llm, pairs), strict=True)
            if llm.window is None or len(prompt.ids) + max(map(len, prompt.labels)) <= llm.window
        )
        if not self.pairs:
            raise UserError(
                f"None of the {len(pairs)} pairs fits the model's window of {llm.window} tokens. Choose shorter pairs."
            )

    def scores(self, llm: LocalLLM, title: str, *, quiet: bool = False) -> np.ndarray:
        """The logits (see ``Comparison``), shape (pairs, labels). ``title`` names the progress bar.

        On a CPU too, every model runs transformers' forward pass instead of packed weights, so that models differ only
        in their weights.

        Raises:
            UserError: a probability is not finite.
        """
        rows: list[tuple[float, ...]] = []
        for chunk in chunks_with_progress(self.pairs, _PAIRS_BETWEEN_UPDATES, title, quiet):
            with llm.guard():
                rows += label_log_likelihoods(llm.model, self._scorables(llm, chunk), llm.config.batch_tokens)
        scores = np.array(rows)
        if not np.isfinite(scores).all():
            raise UserError(
                f"Model {llm.name} gives no finite probabilities in {llm.model.dtype}. Set llm.dtype to float32 or "
                "bfloat16. If that does not help, the files of the model or the adapter are damaged."
            )
        return scores

    def accuracy(self, scores: np.ndarray) -> float:
        """The share of the pairs whose gold label has the highest score."""
        predicted = np.array(self._labels)[scores.argmax(axis=1)]
        return float((predicted == [pair.label for pair in self.pairs]).mean())

    def _scorables(self, llm: LocalLLM, pairs: Sequence[NLIPair]) -> list[Scorable]:
        return llm.with_labels(nli_prompts(llm, pairs, self._labels, self._family), self._labels)


def compare(first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare the scores of two models on the same pairs and labels."""
    return Comparison(
        agreement=float((first.argmax(axis=1) == second.argmax(axis=1)).mean()),
        logit_difference=float(np.abs(first - second).max()),
    )
