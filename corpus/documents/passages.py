"""Splitting of documents into passages that fit the embedder's window."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from corpus.documents.extract import Extract, Part
from corpus.sentences import Span, heading_name, paragraph_spans, sentence_spans, word_spans

PASSAGE_WORDS = 200  # without an embedder
COUNTED = 1 << 18  # characters tokenized at once: a tokenizer needs about a hundred bytes for each
_NEAR = 100  # characters around the middle of a long sentence within which it is split
_HEADINGS = 6  # maximum number of headings kept with the text below them
TOKEN = 64  # assumed maximum number of characters in a token; texts with longer ones are split more often


@dataclass(frozen=True)
class Window:
    """An embedder's limit on the length of a text.

    Attributes:
        limit: maximum number of tokens.
        count: the number of tokens in each text, including those that the tokenizer adds to every text.
        mark: identifies windows that split alike.
    """

    limit: int
    count: Callable[[Sequence[str]], Sequence[int]]
    mark: str

    def over(self, texts: Sequence[str]) -> list[bool]:
        """Which of the texts would be cut."""
        return [tokens > self.limit for tokens in self.count(texts)]


@dataclass(frozen=True, slots=True)
class Passage:
    """``text[start:end]`` of a document, with its page and its section or sections ("A; B")."""

    start: int
    end: int
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """The passages of a document, and the number of its sentences that were split to fit the window."""

    passages: tuple[Passage, ...]
    long_sentences: int


def words_window(words: int = PASSAGE_WORDS) -> Window:
    """A window that counts words, for searches without an embedder."""
    return Window(words, lambda texts: [len(word_spans(text)) for text in texts], f"words {words}")


def narrowest(windows: Sequence[Window], max_tokens: int | None = None) -> Window:
    """The common window of several embedders: a text that fits it fits each of them.

    Args:
        windows: at least one.
        max_tokens: the user's limit on each embedder's tokens.
    """
    limits = [min(window.limit, max_tokens or window.limit) for window in windows]
    least = min(limits)

    def count(texts: Sequence[str]) -> list[int]:
        counts = [window.count(texts) for window in windows]
        # Each count on the scale of the narrowest window, rounded up, so that over one limit is over this limit.
        return [
            max(-(-tokens * least // limit) for tokens, limit in zip(row, limits, strict=True))
            for row in zip(*counts, strict=True)
        ]

    return Window(
        least, count, "; ".join(f"{window.mark} {limit}" for window, limit in zip(windows, limits, strict=True))
    )


def cut(document: Extract, window: Window) -> Cut:
    """Split a document into passages that fit the window, at ends of paragraphs, else of sentences, else of words.

    A passage lies on one page, and may span sections. A heading stays with the text below it if both fit. A sentence of
    several lines, such as a table, is split at line ends. Only white space is left out.
    """
    text, starts = document.text, [part.start for part in document.parts]
    spans: list[Span] = []
    long_sentences = 0

    def heads(span: Span) -> bool:
        section = document.parts[bisect_right(starts, span[1] - 1) - 1].section
        return section is not None and heading_name(text[span[0] : span[1]]) == section

    for page in _pages(document.parts):
        pieces, long = _pieces(text, page, window)
        long_sentences += long
        spans += _packed(text, pieces, window, heads)
    passages = []
    for start, end in spans:
        parts = document.parts[bisect_right(starts, start) - 1 : bisect_left(starts, end)]
        sections = dict.fromkeys(part.section for part in parts if part.section is not None)
        passages.append(Passage(start, end, parts[0].page, "; ".join(sections) or None))
    return Cut(tuple(passages), long_sentences)


def _pages(parts: Sequence[Part]) -> Iterator[Span]:
    """The text of each page."""
    start = 0
    for number, part in enumerate(parts):
        if number + 1 == len(parts) or parts[number + 1].page != part.page:
            yield parts[start].start, part.end
            start = number + 1


def _pieces(text: str, page: Span, window: Window) -> tuple[list[tuple[Span, int]], int]:
    """The largest natural pieces that fit, each with its tokens, and the number of sentences that did not fit."""
    paragraphs = paragraph_spans(text[page[0] : page[1]])
    whole = [(start + page[0], end + page[0]) for start, end in paragraphs]
    pieces: list[tuple[Span, int]] = []
    long = 0
    for paragraph, tokens in _counted(text, whole, window):
        if tokens <= window.limit:
            pieces.append((paragraph, tokens))
            continue
        for sentence, size in _counted(text, sentence_spans(text, *paragraph), window):
            if size <= window.limit:
                pieces.append((sentence, size))
            else:
                long += 1
                pieces += _counted(text, _split(text, sentence, window), window)
    return pieces, long


def _packed(text: str, pieces: Sequence[tuple[Span, int]], window: Window, heads: Callable[[Span], bool]) -> list[Span]:
    """Adjacent pieces merged while they fit; none ends with a heading that would fit with the text below it."""
    if not pieces:
        return []
    added = window.count([""])[0]  # tokens added to every text, so once to a passage
    sized: list[list[tuple[Span, int]]] = []
    size = 0
    for span, tokens in pieces:
        if sized and size + tokens - added <= window.limit:
            sized[-1].append((span, tokens))
            size += tokens - added
            continue
        group, size = [(span, tokens)], tokens
        while sized and len(group) <= _HEADINGS and len(sized[-1]) > 1 and heads(sized[-1][-1][0]):
            if size + sized[-1][-1][1] - added > window.limit:
                break
            group.insert(0, sized[-1].pop())
            size += group[0][1] - added
        sized.append(group)
    groups = [[span for span, _ in group] for group in sized]
    wholes = [(group[0][0], group[-1][1]) for group in groups]
    counted = _counted(text, wholes, window)
    return [
        span
        for group, (whole, tokens) in zip(groups, counted, strict=True)
        for span in ([whole] if tokens <= window.limit or len(group) == 1 else _halved(text, group, window))
    ]


def _halved(text: str, group: list[Span], window: Window) -> list[Span]:
    """A group split in two, for tokenizers with more tokens in a text than in its pieces."""
    found: list[Span] = []
    for part in (group[: len(group) // 2], group[len(group) // 2 :]):
        ((whole, tokens),) = _counted(text, [(part[0][0], part[-1][1])], window)
        found += [whole] if tokens <= window.limit or len(part) == 1 else _halved(text, part, window)
    return found


def _split(text: str, sentence: Span, window: Window) -> list[Span]:
    """A sentence in pieces of whole lines, else words; a word that does not fit is halved until it does."""
    start, end = sentence
    middle = (start + end) // 2
    ends = [at for at in (text.rfind("\n", start, middle), text.find("\n", middle, end)) if at >= 0]
    if ends:
        cut_at = min(ends, key=lambda at: abs(at - middle))
    else:  # only words near the middle, so that the time is linear
        near = range(max(start, middle - _NEAR), min(end, middle + _NEAR))
        words = word_spans(text, near.start, near.stop)
        begins = [begin for begin, _ in words if start < begin < end and begin > near.start]
        cut_at = min(begins, key=lambda at: abs(at - middle), default=middle)
    halves = [_trimmed(text, start, cut_at), _trimmed(text, cut_at, end)]
    halves = [(begin, stop) for begin, stop in halves if begin < stop]
    found: list[Span] = []
    for span, tokens in _counted(text, halves, window):
        found += [span] if tokens <= window.limit or span[1] - span[0] <= 1 else _split(text, span, window)
    return found


def _trimmed(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    return end - len(part.lstrip()), start + len(part.rstrip())


def _counted(text: str, spans: Sequence[Span], window: Window) -> list[tuple[Span, int]]:
    """Each span with its tokens; one with too many characters for the limit counts as just over it."""
    longest = TOKEN * window.limit
    found: list[tuple[Span, int]] = []
    for lot in _lots(spans, longest):
        texts = [text[start:end] for start, end in lot if end - start <= longest]
        counts = iter(window.count(texts) if texts else ())
        found += [(span, next(counts) if span[1] - span[0] <= longest else window.limit + 1) for span in lot]
    return found


def _lots(spans: Sequence[Span], longest: int) -> Iterator[list[Span]]:
    """The spans in order, in batches of at most ``COUNTED`` characters."""
    lot: list[Span] = []
    size = 0
    for start, end in spans:
        if end - start <= longest:
            if size + end - start > COUNTED and lot:
                yield lot
                lot, size = [], 0
            size += end - start
        lot.append((start, end))
    yield lot
