"""Separation of a model's reasoning from its answer."""

import re
from collections.abc import Iterable, Iterator

# Words in the tags, alone or after a prefix: <think>, <thinking>, [THINK], <seed:think>, ◁think▷.
_WORD = r"(?:[a-z0-9]+[:_])?(?:think(?:ing)?|thoughts?|thought_process|reason(?:ing)?|reflection|scratchpad|analysis)"
_OPEN = re.compile(
    rf"<\|?{_WORD}\|?>|\[think\]|◁{_WORD}▷|<\|(?:begin_of|start)_{_WORD}\|>|<\|start_{_WORD}\|>"
    r"|<unused94>(?:thought)?|<\|inner_prefix\|>|<\|channel\|?>(?!final)\w+"
    r"|(?:\A|\n)\#{1,3} *Thinking *\n|\A\s*Here(?:'s| is) my (?:thought process|reasoning)[:.]",
    re.IGNORECASE,
)
_CLOSE = re.compile(
    rf"</\|?{_WORD}\|?>|<\|/{_WORD}\|>|\[/think\]|◁/{_WORD}▷|<\|end_(?:of_)?{_WORD}\|>"
    r"|<unused95>|<\|inner_suffix\|>|<channel\|>|<\|channel\|>final[^<\n]*<\|message\|>"
    r"|\n\#{1,3} *Final (?:Response|Answer) *\n|\n\s*Here(?:'s| is) my (?:response|answer)[:.]",
    re.IGNORECASE,
)
# Tags around an answer.
_ENCLOSING = re.compile(
    r"</?(?:answer|response|final_answer|solution)>|<\|(?:begin|end)_of_(?:solution|box|answer)\|>"
    r"|<\|(?:start|end)_response\|>|<\|(?:start|end|message|return|channel)\|>",
    re.IGNORECASE,
)
_CHANNELS = frozenset({"<|channel|>", "<|message|>", "<|channel>", "<channel|>"})  # tokens around a channel's name
_PROMPT_END = 40  # characters of a prompt's end that may contain an opening tag


def answer_text(text: str) -> str | None:
    """The text after the reasoning; the whole text if it has no reasoning.

    The answer begins after the last closing tag, even without an opening tag, which may be in the prompt. None if the
    reasoning is not closed, as in a truncated text.
    """
    closings = list(_CLOSE.finditer(text))
    rest = text[closings[-1].end() :] if closings else text
    if opening := _OPEN.search(rest):
        rest = rest[: opening.start()]
        if not rest.strip():
            return None
    return _ENCLOSING.sub(" ", rest).strip() if _ENCLOSING.search(rest) else rest


def opening_of(prompt: str) -> str:
    """The open reasoning tag at the end of a prompt; empty if there is none."""
    tail = prompt[-_PROMPT_END:]
    found = [opening for opening in _OPEN.finditer(tail) if not tail[opening.end() :].strip()]
    return found[-1][0].strip() if found else ""


def closing_of_open_reasoning(prompt: str) -> str:
    """The text that closes the reasoning opened at a prompt's end; empty if none is open."""
    opening = opening_of(prompt)
    if not opening:
        return ""
    closing = _closing(opening)
    return f"{'' if prompt.endswith(chr(10)) else chr(10)}\n{closing}\n\n" if closing else ""


def is_reasoning_mark(token: str) -> bool:
    """Whether a token is a reasoning tag, which decoding must keep."""
    return bool(_OPEN.fullmatch(token) or _CLOSE.fullmatch(token) or token in _CHANNELS)


def _closing(opening: str) -> str:
    for before, after in (("<|START_", "<|END_"), ("<|begin_of_", "<|end_of_")):
        if before in opening:
            return opening.replace(before, after)
    return opening[0] + "/" + opening[1:] if opening[0] in "<[◁" else ""


def answer_pieces(pieces: Iterable[str]) -> Iterator[str]:
    """A stream's text without its reasoning; possible reasoning is held back until it is closed."""
    held, answering = "", False
    for piece in pieces:
        if answering:
            yield piece
            continue
        held += piece
        if _CLOSE.search(held) or not _may_reason(held):
            answering = bool(answer_text(held))
            if answering:
                yield (answer_text(held) or "").lstrip()
                held = ""
    if held and not answering:
        yield answer_text(held) or ""


def _may_reason(text: str) -> bool:
    """Whether a text begins, or may still begin, with reasoning."""
    start = text.lstrip()
    return not start or start[0] in "<[◁#" or start[:4].lower() == "here"[: len(start)] or bool(_OPEN.match(start))
