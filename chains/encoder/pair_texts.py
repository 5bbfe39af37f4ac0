"""Encoding of text pairs for a sequence classifier, and truncation of long texts to its window."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from chains.models.base import TooLongError
from chains.models.fitting import longest_part, split_to_fit
from chains.models.prompt_sanitizing import Cleaner
from chains.nli import Pair
from corpus.sentences import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Encoded = dict[str, list[int]]  # the model's inputs for a pair, by name
Side = Literal[0, 1]  # index of a text in its pair


class PairTexts:
    """Encodes pairs of texts and truncates them to the window.

    ``window`` is the maximum number of tokens of a pair, with special tokens; ``truncation_side`` of the tokenizer is
    the end at which long texts are cut.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", window: int) -> None:
        self._tokenizer = tokenizer
        self.window = window
        self.clean = Cleaner(tokenizer)

    def encode(self, pairs: Sequence[Pair]) -> list[Encoded]:
        """The model's inputs for each pair of cleaned texts, without padding or truncation."""
        if not pairs:
            return []
        firsts, seconds = zip(*pairs, strict=True)
        encoded = self._tokenizer(list(firsts), list(seconds), truncation=False, padding=False, verbose=False)
        return [{name: encoded[name][index] for name in encoded} for index in range(len(pairs))]

    def fits(self, encoded: Encoded) -> bool:
        """Whether an encoded pair is no longer than the window."""
        return len(encoded["input_ids"]) <= self.window

    def fit(self, pair: Pair, side: Side) -> Span:
        """The longest part of text ``side`` that fits with the other text.

        The part is the end of the text if the tokenizer truncates on the left, else the beginning.
        """
        from_end = self._tokenizer.truncation_side == "left"
        part = longest_part(pair[side], lambda text: self._fits_with(pair, side, text), from_end=from_end)
        if part is None:
            raise self._too_long(pair, side)
        return part

    def parts(self, pair: Pair) -> list[Pair]:
        """The pair with its first text split into the longest parts that fit, of whole sentences if possible."""
        parts = split_to_fit(pair[0], lambda text: self._fits_with(pair, 0, text))
        if not parts:
            raise self._too_long(pair, 0)
        return [(part, pair[1]) for part in parts]

    def _fits_with(self, pair: Pair, side: Side, text: str) -> bool:
        return self.fits(self.encode([_with(pair, side, text)])[0])

    def _too_long(self, pair: Pair, side: Side) -> TooLongError:
        taken = len(self.encode([_with(pair, side, "")])[0]["input_ids"])
        return TooLongError(
            f"The pair is too long: its {'second' if side == 0 else 'first'} text takes {taken} of the {self.window} "
            "tokens of the model's window and leaves no room for the other. Give a shorter text."
        )


def _with(pair: Pair, side: Side, text: str) -> Pair:
    return (text, pair[1]) if side == 0 else (pair[0], text)
