"""Separation of a model's reasoning from its answer."""

import re
from collections.abc import Iterable, Iterator

import regex

# Names of reasoning tags, with or without a prefix: <think>, <thinking>, [THINK], <seed:think>, ◁think▷.
_NAME = r"(?:[a-z0-9]+[:_])?(?:think(?:ing)?|thoughts?|thought_process|reason(?:ing)?|reflection|scratchpad|analysis)"
_OPEN = re.compile(
    rf"<\|?{_NAME}\|?>|\[think\]|◁{_NAME}▷|<\|(?:begin_of|start)_{_NAME}\|>"
    r"|<unused94>(?:thought)?|<\|inner_prefix\|>|<\|channel\|?>(?!final)\w+"
    r"|(?:\A|\n)\#{1,3} *Thinking *\n|\A\s*Here(?:'s| is) my (?:thought process|reasoning)[:.]",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"</\|?{_NAME}\|?>|<\|/{_NAME}\|>|\[/think\]|◁/{_NAME}▷|<\|end_(?:of_)?{_NAME}\|>"
    r"|<unused95>|<\|inner_suffix\|>|<channel\|>|<\|channel\|>final[^<\n]*<\|message\|>"
    r"|\n\#{1,3} *Final (?:Response|Answer) *\n|\n\s*Here(?:'s| is) my (?:response|answer)[:.]",
    re.IGNORECASE,
)
_ANSWER_TAGS = re.compile(
    r"</?(?:answer|response|final_answer|solution)>|<\|(?:begin|end)_of_(?:solution|box|answer)\|>"
    r"|<\|(?:start|end)_response\|>|<\|(?:start|end|message|return|channel)\|>",
    re.IGNORECASE,
)
# ``_OPEN`` or ``_ANSWER_TAGS``. Only ``regex`` has partial matches: of a text that ends within a tag.
_TAG_AT_START = regex.compile(rf"{_OPEN.pattern}|{_ANSWER_TAGS.pattern}", regex.IGNORECASE)
_CHANNEL_TOKENS = frozenset({"<|channel|>", "<|message|>", "<|channel>", "<channel|>"})  # around a channel's name
_MAX_TAG = 40  # characters; all tags are shorter


def answer_text(text: str) -> str | None:
    """A model's text without its reasoning; None if it has only reasoning that is not closed.

    The answer begins after the last closing tag, even if there is no opening tag, which may be in the prompt.
    """
    closings = list(_CLOSE.finditer(text))
    rest = text[closings[-1].end() :] if closings else text
    if opening := _OPEN.search(rest):
        rest = rest[: opening.start()]
        if not rest.strip():
            return None
    return _ANSWER_TAGS.sub(" ", rest).strip() if _ANSWER_TAGS.search(rest) else rest


def open_reasoning_tag(prompt: str) -> str:
    """The open reasoning tag at the end of a prompt; empty if there is none."""
    tail = prompt[-_MAX_TAG:]
    at_end = [opening for opening in _OPEN.finditer(tail) if not tail[opening.end() :].strip()]
    return at_end[-1][0].strip() if at_end else ""


def reasoning_end(prompt: str) -> str:
    """The text that closes the reasoning opened at a prompt's end; empty if none is open or the tag is unknown."""
    opening = open_reasoning_tag(prompt)
    if not opening:
        return ""
    closing = _closing_tag(opening)
    empty_line = "\n" if prompt.endswith("\n") else "\n\n"
    return f"{empty_line}{closing}\n\n" if closing else ""


def is_reasoning_token(token: str) -> bool:
    """Whether a token is a reasoning tag or part of one, which decoding must keep for ``answer_text``."""
    return bool(_OPEN.fullmatch(token) or _CLOSE.fullmatch(token) or token in _CHANNEL_TOKENS)


def _closing_tag(opening: str) -> str:
    """The tag that closes the reasoning after an opening tag; empty if it is unknown."""
    for start, end in (("<|START_", "<|END_"), ("<|begin_of_", "<|end_of_")):
        if start in opening:
            return opening.replace(start, end)
    return opening[0] + "/" + opening[1:] if opening[0] in "<[◁" else ""


def answer_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """A streamed text without the reasoning; text that may be reasoning is delayed until the closing tag.

    A text that begins with a tag of the answer is delayed to its end, since the closing tag may come in pieces.
    """
    delayed, answering = "", False
    for piece in pieces:
        if answering:
            yield piece
            continue
        checked = max(0, len(delayed) - _MAX_TAG)  # up to here, no closing tag begins
        delayed += piece
        if closings := list(_CLOSE.finditer(delayed, checked)):
            delayed = delayed[closings[-1].end() :]
        start = delayed.lstrip()
        if start and not _TAG_AT_START.match(start, partial=True):
            answering = True
            yield (answer_text(delayed) or "").lstrip()
    if not answering and delayed:
        yield answer_text(delayed) or ""
