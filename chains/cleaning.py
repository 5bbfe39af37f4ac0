"""Text from outside made fit for a prompt."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Control characters other than tab and line ends, and halves of characters that no text has alone.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class Cleaner:
    """Blanks out what a text must not bring into a prompt of ``tokenizer``'s model."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        special = sorted(filter(None, tokenizer.all_special_tokens), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special))) if special else None

    def __call__(self, text: str) -> str:
        """``text`` of the same length, with spaces for control characters and for the tokenizer's special tokens.

        A text that spells a special token would otherwise end the user's turn and begin another.
        """
        text = _UNPRINTABLE.sub(" ", text)
        return text if self._special is None else self._special.sub(lambda token: " " * len(token[0]), text)
