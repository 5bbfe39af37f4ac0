"""Splitting of documents into passages that fit the embedder's window."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from corpus.documents.extract import Extract, Part
from corpus.sentences import Span, heading_name, paragraph_spans, sentence_spans, trimmed, word_spans

PASSAGE_WORDS = 200  # maximum length without an embedder
BATCH_CHARACTERS = 1 << 18  # tokenized at once; a tokenizer needs about 100 bytes of memory for each character
_SPLIT_RANGE = 100  # maximum distance in characters from the middle of a long sentence to the split between words
_MAX_HEADINGS = 6  # consecutive headings that are kept with the text below them
# Assumed maximum of a text's average token length; a text with longer tokens may be split although it fits.
MAX_TOKEN_CHARACTERS = 64


@dataclass(frozen=True)
class Window:
    """An embedder's limit on the length of a text.

    Attributes:
        limit: maximum number of tokens.
        count: returns the number of tokens of each text, including special tokens.
        fingerprint: identifies the window; windows with equal fingerprints and limits split all documents alike.
    """

    limit: int
    count: Callable[[Sequence[str]], Sequence[int]]
    fingerprint: str

    def too_long(self, texts: Sequence[str]) -> list[bool]:
        """Whether each text exceeds the limit."""
        return [tokens > self.limit for tokens in self.count(texts)]


@dataclass(frozen=True, slots=True)
class Passage:
    """``text[start:end]`` of a document, with its page and section; several sections are joined as "A; B"."""

    start: int
    end: int
    page: int | None = None
    section: str | None = None


@dataclass(frozen=True, slots=True)
class SplitDocument:
    """The passages of a document, and the number of sentences that did not fit the window and were split."""

    passages: tuple[Passage, ...]
    long_sentences: int


def words_window(words: int = PASSAGE_WORDS) -> Window:
    """A window that counts words, for search without an embedder."""
    return Window(words, lambda texts: [len(word_spans(text)) for text in texts], f"words {words}")


def common_window(windows: Sequence[Window], max_tokens: int | None = None) -> Window:
    """A window for texts that must fit every one of several windows.

    Args:
        windows: at least one.
        max_tokens: an upper limit on each window.
    """
    limits = [min(window.limit, max_tokens or window.limit) for window in windows]
    narrowest_limit = min(limits)

    def count(texts: Sequence[str]) -> list[int]:
        counts = [window.count(texts) for window in windows]
        # Counts are scaled to the narrowest limit and rounded up: a text over any window's limit is over this one.
        return [
            max(-(-tokens * narrowest_limit // limit) for tokens, limit in zip(text_counts, limits, strict=True))
            for text_counts in zip(*counts, strict=True)
        ]

    fingerprints = (f"{window.fingerprint} {limit}" for window, limit in zip(windows, limits, strict=True))
    return Window(narrowest_limit, count, "; ".join(fingerprints))


def split_document(document: Extract, window: Window) -> SplitDocument:
    """Split a document into passages that fit the window.

    The text is split between paragraphs, else between sentences, else between words. A sentence that is too long and
    has several lines, such as a table, is split at line ends. A heading stays with the text below it if both fit. A
    passage is on one page and may span sections. Only white space is outside of passages.
    """
    text, part_starts = document.text, [part.start for part in document.parts]
    spans: list[Span] = []
    long_sentences = 0

    def is_heading(span: Span) -> bool:
        section = document.parts[bisect_right(part_starts, span[1] - 1) - 1].section
        return section is not None and heading_name(text[span[0] : span[1]]) == section

    for page in _pages(document.parts):
        pieces, split_sentences = _fitting_pieces(text, page, window)
        long_sentences += split_sentences
        spans += _merged(text, pieces, window, is_heading)
    passages = []
    for start, end in spans:
        parts = document.parts[bisect_right(part_starts, start) - 1 : bisect_left(part_starts, end)]
        sections = dict.fromkeys(part.section for part in parts if part.section is not None)
        passages.append(Passage(start, end, parts[0].page, "; ".join(sections) or None))
    return SplitDocument(tuple(passages), long_sentences)


def _pages(parts: Sequence[Part]) -> Iterator[Span]:
    """The span of each page."""
    start = 0
    for number, part in enumerate(parts):
        if number + 1 == len(parts) or parts[number + 1].page != part.page:
            yield parts[start].start, part.end
            start = number + 1


def _fitting_pieces(text: str, page: Span, window: Window) -> tuple[list[tuple[Span, int]], int]:
    """Pieces that fit, each with its number of tokens, and the number of sentences that had to be split.

    A piece is a paragraph, a sentence or a part of a sentence.
    """
    paragraphs = [(start + page[0], end + page[0]) for start, end in paragraph_spans(text[page[0] : page[1]])]
    pieces: list[tuple[Span, int]] = []
    split_sentences = 0
    for paragraph, tokens in _counted(text, paragraphs, window):
        if tokens <= window.limit:
            pieces.append((paragraph, tokens))
            continue
        for sentence, size in _counted(text, sentence_spans(text, *paragraph), window):
            if size <= window.limit:
                pieces.append((sentence, size))
            else:
                split_sentences += 1
                pieces += _counted(text, _split_sentence(text, sentence, window), window)
    return pieces, split_sentences


def _merged(
    text: str, pieces: Sequence[tuple[Span, int]], window: Window, is_heading: Callable[[Span], bool]
) -> list[Span]:
    """Adjacent pieces merged while they fit; a heading at the end moves to the text below it if both fit."""
    if not pieces:
        return []
    special = window.count([""])[0]  # number of special tokens, which a passage has once
    groups: list[list[tuple[Span, int]]] = []
    size = 0
    for span, tokens in pieces:
        if groups and size + tokens - special <= window.limit:
            groups[-1].append((span, tokens))
            size += tokens - special
            continue
        group, size = [(span, tokens)], tokens
        while groups and len(group) <= _MAX_HEADINGS and len(groups[-1]) > 1 and is_heading(groups[-1][-1][0]):
            if size + groups[-1][-1][1] - special > window.limit:
                break
            group.insert(0, groups[-1].pop())
            size += group[0][1] - special
        groups.append(group)
    span_groups = [[span for span, _ in group] for group in groups]
    merged = [(group[0][0], group[-1][1]) for group in span_groups]
    counted = _counted(text, merged, window)
    return [
        span
        for group, (whole, tokens) in zip(span_groups, counted, strict=True)
        for span in ([whole] if tokens <= window.limit or len(group) == 1 else _halved(text, group, window))
    ]


def _halved(text: str, group: list[Span], window: Window) -> list[Span]:
    """A group halved until its parts fit: some tokenizers count more tokens in a text than in all of its pieces."""
    spans: list[Span] = []
    for half in (group[: len(group) // 2], group[len(group) // 2 :]):
        ((whole, tokens),) = _counted(text, [(half[0][0], half[-1][1])], window)
        spans += [whole] if tokens <= window.limit or len(half) == 1 else _halved(text, half, window)
    return spans


def _split_sentence(text: str, sentence: Span, window: Window) -> list[Span]:
    """A sentence split between lines, else between words, until each piece fits; a long word is halved."""
    start, end = sentence
    middle = (start + end) // 2
    line_ends = [at for at in (text.rfind("\n", start, middle), text.find("\n", middle, end)) if at >= 0]
    if line_ends:
        split_at = min(line_ends, key=lambda at: abs(at - middle))
    else:  # only words near the middle, so that the time is linear
        near = range(max(start, middle - _SPLIT_RANGE), min(end, middle + _SPLIT_RANGE))
        words = word_spans(text, near.start, near.stop)
        word_starts = [begin for begin, _ in words if start < begin < end and begin > near.start]
        split_at = min(word_starts, key=lambda at: abs(at - middle), default=middle)
    halves = [trimmed(text, start, split_at), trimmed(text, split_at, end)]
    pieces: list[Span] = []
    for span, tokens in _counted(text, [half for half in halves if half[0] < half[1]], window):
        pieces += [span] if tokens <= window.limit or span[1] - span[0] <= 1 else _split_sentence(text, span, window)
    return pieces


def _counted(text: str, spans: Sequence[Span], window: Window) -> list[tuple[Span, int]]:
    """Each span with its number of tokens; a span with too many characters to fit counts as the limit plus one."""
    max_characters = MAX_TOKEN_CHARACTERS * window.limit
    found: list[tuple[Span, int]] = []
    for batch in _batches(spans, max_characters):
        texts = [text[start:end] for start, end in batch if end - start <= max_characters]
        counts = iter(window.count(texts) if texts else ())
        found += [(span, next(counts) if span[1] - span[0] <= max_characters else window.limit + 1) for span in batch]
    return found


def _batches(spans: Sequence[Span], max_characters: int) -> Iterator[list[Span]]:
    """The spans in batches of at most ``BATCH_CHARACTERS``.

    Spans of more than ``max_characters`` do not count, since they are not tokenized.
    """
    batch: list[Span] = []
    size = 0
    for start, end in spans:
        if end - start <= max_characters:
            if size + end - start > BATCH_CHARACTERS and batch:
                yield batch
                batch, size = [], 0
            size += end - start
        batch.append((start, end))
    yield batch
