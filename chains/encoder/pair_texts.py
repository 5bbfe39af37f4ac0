"""Encoding of text pairs for a sequence classifier, and truncation of long texts to its window."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from chains.models.base import TooLongError
from chains.models.prompt_sanitizing import Cleaner
from chains.nli import Pair
from corpus.sentences import Span, sentence_spans, word_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Side = Literal[0, 1]  # which text of a pair


class PairTexts:
    """Encodes pairs of texts and truncates them to the window.

    Args:
        tokenizer: the model's tokenizer; ``truncation_side`` is the end at which long texts are cut.
        window: maximum number of tokens of a pair, with special tokens.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", window: int) -> None:
        self._tokenizer = tokenizer
        self.window = window
        self.clean = Cleaner(tokenizer)

    def encode(self, pairs: Sequence[Pair]) -> list[dict[str, list[int]]]:
        """The model's inputs for each pair of cleaned texts, without padding or truncation."""
        if not pairs:
            return []
        firsts, seconds = zip(*pairs, strict=True)
        encoded = self._tokenizer(list(firsts), list(seconds), truncation=False, padding=False, verbose=False)
        return [{name: encoded[name][index] for name in encoded} for index in range(len(pairs))]

    def fits(self, encoded: dict[str, list[int]]) -> bool:
        """Whether an encoded pair is no longer than the window."""
        return len(encoded["input_ids"]) <= self.window

    def fit(self, pair: Pair, side: Side) -> Span:
        """The longest span of text ``side`` that fits with the other text: whole sentences, else words of one sentence.

        Raises:
            UserError: not one word fits.
        """
        from_end = self._tokenizer.truncation_side == "left"
        return self._longest(pair, side, from_end=from_end)

    def parts(self, pair: Pair) -> list[Pair]:
        """The pair with its first text split into the longest parts that fit, of whole sentences if possible.

        Raises:
            UserError: the second text leaves no room for one word.
        """
        first, second = pair
        parts: list[Pair] = []
        start = 0
        while first[start:].strip():
            begin, end = self._longest((first[start:], second), 0, from_end=False)
            parts.append((first[start + begin : start + end], second))
            start += end
        return parts

    def _longest(self, pair: Pair, side: Side, *, from_end: bool) -> Span:
        text = pair[side]
        spans = sentence_spans(text)
        kept = self._most(pair, side, spans, from_end=from_end)
        if kept is None and spans:
            spans = word_spans(text, *spans[-1 if from_end else 0])
            kept = self._most(pair, side, spans, from_end=from_end)
        if kept is None:
            taken = len(self.encode([_with(pair, side, "")])[0]["input_ids"])
            raise TooLongError(
                f"The pair is too long: its {'second' if side == 0 else 'first'} text takes {taken} of the "
                f"{self.window} tokens of the model's window and leaves no room for the other. Give a shorter text."
            )
        return kept

    def _most(self, pair: Pair, side: Side, spans: Sequence[Span], *, from_end: bool) -> Span | None:
        """As many of the spans as fit, found by bisection; None if not one fits."""
        best: Span | None = None
        low, high = 1, len(spans)
        while low <= high:
            count = (low + high) // 2
            chosen = spans[-count:] if from_end else spans[:count]
            span = chosen[0][0], chosen[-1][1]
            if self.fits(self.encode([_with(pair, side, pair[side][slice(*span)])])[0]):
                best, low = span, count + 1
            else:
                high = count - 1
        return best


def _with(pair: Pair, side: Side, text: str) -> Pair:
    return (text, pair[1]) if side == 0 else (pair[0], text)
