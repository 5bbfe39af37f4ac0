"""From prompts to labels: the label that a model finds most probable, or the one that it writes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from chains.config import Decide
from chains.generation import generate_texts
from chains.llm import LocalLLM
from chains.parsing import parse_label
from chains.scoring import encode, label_log_likelihoods, with_labels
from chains.templates import label_lead
from corpus.errors import UserError


@dataclass(frozen=True, slots=True)
class Decision:
    """A label, or None where the generated text names none.

    ``scores`` are probabilities over the labels that sum to 1, empty where the label was read from ``output``, the
    generated text.
    """

    label: str | None
    scores: dict[str, float]
    output: str | None = None
    notes: tuple[str, ...] = ()


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

    def __init__(self, llm: LocalLLM, labels: Sequence[str], decide: Decide) -> None:
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
        self._lead = label_lead(llm.tokenizer)
        lengths = [len(ids) for ids in encode(llm.tokenizer, [self._lead + label for label in labels])]
        self.reserve = max(llm.config.max_new_tokens, *lengths)
        """How many tokens of the window the answer may take."""

    def decide(self, prompts: Sequence[tuple[str, list[int]]]) -> list[Decision]:
        """A decision for each rendered prompt and its token ids, in order.

        Raises:
            UserError: the model computes no finite probabilities.
        """
        model, tokenizer, settings = self._llm.model, self._llm.tokenizer, self._llm.config
        ids = [prompt_ids for _, prompt_ids in prompts]
        match self._decide:
            case "score":
                texts = [text for text, _ in prompts]
                scorables = with_labels(tokenizer, texts, ids, self._labels, self._lead)
                with self._llm.guard():
                    rows = label_log_likelihoods(model, scorables, settings.batch_tokens, self._llm.packed)
                if any(math.isnan(value) for row in rows for value in row):
                    raise UserError(
                        f"Model {self._llm.name} gave no finite probabilities in {model.dtype}. Set llm.dtype to "
                        "float32 or bfloat16; if they are no better, the model's files are damaged."
                    )
                return [self._scored(row) for row in rows]
            case "generate":
                with self._llm.guard():
                    outputs = generate_texts(
                        model,
                        tokenizer,
                        ids,
                        max_new_tokens=self.reserve,
                        batch_tokens=settings.batch_tokens,
                    )
                return [self._generated(output) for output in outputs]
        assert_never(self._decide)

    def _scored(self, log_likelihoods: Sequence[float]) -> Decision:
        best = max(log_likelihoods)
        weights = [math.exp(value - best) for value in log_likelihoods]
        scores = {name: weight / sum(weights) for name, weight in zip(self._labels, weights, strict=True)}
        return Decision(self._labels[log_likelihoods.index(best)], scores)

    def _generated(self, output: str) -> Decision:
        label = parse_label(output, tuple(self._by_word))
        notes = () if label is not None else ("the generated text names no label",)
        return Decision(None if label is None else self._by_word[label], {}, output, notes)
