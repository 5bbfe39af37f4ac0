"""Two forms of one model, compared by the labels that they give to the same pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chains.models.local import LocalLLM
from chains.models.prompt_sanitizing import Cleaner
from chains.models.scoring import Scorable, encode, label_log_likelihoods, with_labels
from chains.models.templates import label_lead, render
from chains.prompts import PromptFamily, nli_prompt
from common.errors import UserError
from corpus.nli import NLIPair
from eval.progress import chunks_with_progress

Scores = list[tuple[float, ...]]
_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Comparison:
    """How near two models are, over all pairs.

    A label's logit is here the natural logarithm of its probability after the prompt, over the whole vocabulary.

    Attributes:
        agreement: the share of the pairs for which both find the same label most probable.
        logit_difference: the largest absolute difference of a label's logit.
    """

    agreement: float
    logit_difference: float

    def __str__(self) -> str:
        return f"{self.agreement:.2%} of the labels agree, largest logit difference {self.logit_difference:.2g}"


class PairScorer:
    """Scores the labels of the same pairs with one model after another, in the prompts that the NLI chain uses.

    Args:
        llm: the first of them; pairs that do not fit its window are left out.
        pairs: at least one, see ``check_comparable``.
        labels: the candidate labels, two or more.
        family: whose wording the prompts have.

    Raises:
        UserError: no pair, fewer than two labels, or no pair that fits.
    """

    def __init__(self, llm: LocalLLM, pairs: Sequence[NLIPair], labels: Sequence[str], *, family: PromptFamily) -> None:
        check_comparable(pairs, labels)
        self._labels = tuple(labels)
        self._family = family
        self.pairs = tuple(
            pair
            for pair, prompt in zip(pairs, self._scorables(llm, pairs), strict=True)
            if llm.window is None or len(prompt.ids) + max(map(len, prompt.labels)) <= llm.window
        )
        if not self.pairs:
            raise UserError(
                f"None of the {len(pairs)} pairs fits the model's window of {llm.window} tokens. Name shorter pairs."
            )

    def scores(self, llm: LocalLLM, title: str, *, quiet: bool = False) -> Scores:
        """The logit of each label (see ``Comparison``), pair by pair; a bar under ``title`` shows how far it is.

        All models are run by their own forward pass, none in a packed form, so that nothing but weights differs.

        Raises:
            UserError: the model computes no finite probabilities.
        """
        rows: Scores = []
        for chunk in chunks_with_progress(self.pairs, _CHUNK, title, quiet):
            with llm.guard():
                rows += label_log_likelihoods(llm.model, self._scorables(llm, chunk), llm.config.batch_tokens)
        if any(math.isnan(value) for row in rows for value in row):
            raise UserError(
                f"Model {llm.name} gave no finite probabilities in {llm.model.dtype}. Set llm.dtype to float32 or "
                "bfloat16; if they are no better, the model's or the adapter's files are damaged."
            )
        return rows

    def accuracy(self, scores: Scores) -> float:
        """The share of the pairs whose own label has the highest score."""
        found = [self._labels[_best(row)] for row in scores]
        return sum(label == pair.label for label, pair in zip(found, self.pairs, strict=True)) / len(self.pairs)

    def _scorables(self, llm: LocalLLM, pairs: Sequence[NLIPair]) -> list[Scorable]:
        clean = Cleaner(llm.tokenizer)
        texts = render(
            llm.tokenizer,
            [
                nli_prompt(
                    self._family,
                    clean(pair.premise).strip(),
                    clean(pair.hypothesis).strip(),
                    self._labels,
                    system=llm.config.system,
                )
                for pair in pairs
            ],
        )
        ids = encode(llm.tokenizer, texts)
        return with_labels(llm.tokenizer, texts, ids, self._labels, label_lead(llm.tokenizer))


def check_comparable(pairs: Sequence[NLIPair], labels: Sequence[str]) -> None:
    """Raise ``UserError`` where there is no pair, or no choice between labels."""
    if not pairs:
        raise UserError("There are no pairs to compare models on. Name other data, or another split.")
    if len(set(labels)) < 2:
        raise UserError(f"A choice needs two labels or more; there is {', '.join(labels) or 'none'}.")


def compare(one: Scores, other: Scores) -> Comparison:
    """Compare the scores of two models; both have the same pairs and labels, one or more."""
    rows = list(zip(one, other, strict=True))
    return Comparison(
        agreement=sum(_best(a) == _best(b) for a, b in rows) / len(rows),
        logit_difference=max(abs(x - y) for a, b in rows for x, y in zip(a, b, strict=True)),
    )


def _best(row: tuple[float, ...]) -> int:
    return row.index(max(row))
