"""From prompts to labels: the label that a model finds most probable, or the one that it writes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from chains.config import Decide
from chains.model import LLM, Prompt
from chains.parsing import parse_label
from common.errors import UserError
from common.fingerprints import content_key
from common.result_cache import Batches, recall

UNLABELLED = "the generated text names no label"
_UNSCORED = "the server gave no probabilities of the labels: the label was read from what the model wrote"


@dataclass(frozen=True, slots=True)
class Decision:
    """A label, or None where the generated text names none.

    ``scores`` are probabilities over the labels that sum to 1, empty where the label was read from ``output``, the
    generated text. ``reused`` says that the cache had it.
    """

    label: str | None
    scores: dict[str, float]
    output: str | None = None
    notes: tuple[str, ...] = ()
    reused: bool = False


class Decider:
    """Decides between ``labels`` after a prompt.

    Args:
        llm: the model.
        labels: the candidates; scored as they stand, read from generated text without regard to case.
        decide: ``score`` takes the label that the model finds most probable after the prompt, ``generate`` lets it
            write and reads the label out of the text.

    Raises:
        UserError: a label that cannot be read out of generated text, because it is not one plain word.
    """

    def __init__(self, llm: LLM, labels: Sequence[str], decide: Decide) -> None:
        self._llm = llm
        self._labels = tuple(labels)
        self._decide = decide
        self._by_word = {label.lower(): label for label in labels}
        for word, label in self._by_word.items():
            if decide == "generate" and parse_label(word, (word,)) is None:
                raise UserError(
                    f"The label {label!r} is not one plain word, so it cannot be read out of generated text. Map it to "
                    "one with pairs.labels, or set chain.decide to score."
                )
        self.reserve = max(llm.config.max_new_tokens, llm.label_length(labels))
        """How many tokens of the window the answer may take."""

    def decide(self, prompts: Sequence[Prompt]) -> list[Decision | UserError]:
        """A decision, or why the model makes none, for each rendered prompt and its token ids, in order.

        Raises:
            UserError: the model computes no finite probabilities.
        """
        cache = self._llm.cache
        keys = [self._key(text) if cache is not None else "" for text, _ in prompts]
        recalled = recall(cache, keys, lambda places: self._compute([prompts[place] for place in places], places))
        return [
            one.value if isinstance(one.value, UserError) else replace(self._decision(one.value), reused=one.reused)
            for one in recalled
        ]

    def _key(self, prompt: str) -> str:
        model = self._llm.fingerprint
        if self._decide == "generate":
            return content_key(prompt=prompt, most=self.reserve, model=model)
        return content_key(prompt=prompt, labels=self._labels, model=model)

    def _compute(self, prompts: Sequence[Prompt], places: Sequence[int]) -> Batches:
        score = self._decide == "score"
        computed = self._llm.score(prompts, self._labels) if score else self._llm.write(prompts, self.reserve)
        for batch, values in computed:
            yield [places[index] for index in batch], values

    def _decision(self, value: str | Sequence[float | None]) -> Decision:
        if not isinstance(value, str):
            return self._scored(value)
        decision = self._generated(value)
        return decision if self._decide == "generate" else replace(decision, notes=(*decision.notes, _UNSCORED))

    def _scored(self, row: Sequence[float | None]) -> Decision:
        log_likelihoods = [-math.inf if value is None else value for value in row]  # JSON has no infinity
        best = max(log_likelihoods)
        weights = [math.exp(value - best) for value in log_likelihoods]
        scores = {name: weight / sum(weights) for name, weight in zip(self._labels, weights, strict=True)}
        return Decision(self._labels[log_likelihoods.index(best)], scores)

    def _generated(self, output: str) -> Decision:
        label = parse_label(output, tuple(self._by_word))
        notes = () if label is not None else (UNLABELLED,)
        return Decision(None if label is None else self._by_word[label], {}, output, notes)
