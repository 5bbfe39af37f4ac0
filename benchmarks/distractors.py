"""Abstracts that answer nobody's question: put together from parts of real ones, so that topics and wording are real.

A distractor is the beginning of one abstract, the middle of a second and the end of a third, with new numbers in the
place of theirs. Of 1,000 abstracts and 20,000 distractors each abstract lends its beginning, with its subject and its
aim, to about 20: they are the nearest neighbours that a question's own abstract has.
"""

import random
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from langchain_core.documents import Document

from corpus.records import QARecord
from corpus.sentences import sentence_spans

PREFIX = "distractor-"
_PARTS = 3
_NUMBER = re.compile(r"\d+")


def distractors(records: Sequence[QARecord], count: int, *, seed: int = 1) -> Iterator[Document]:
    """``count`` distractors with the ids ``distractor-0`` and on; the same records and seed give the same ones.

    Args:
        records: three or more, each with an abstract.
        count: how many; the first of a larger count are those of a smaller one.
        seed: of the choice of abstracts and of the numbers.
    """
    parts = [_thirds(record.context) for record in records]
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        sources = rng.sample(range(len(parts)), _PARTS)
        text = "\n".join(part for place, source in enumerate(sources) if (part := parts[source][place]))
        id = f"{PREFIX}{number}"
        yield Document(id=id, page_content=_renumbered(text, rng), metadata={"id": id})


def _thirds(text: str) -> tuple[str, ...]:
    """The sentences of a text in three parts of about the same count, the first at least one sentence."""
    spans = sentence_spans(text)
    bounds = [round(len(spans) * part / _PARTS) for part in range(_PARTS + 1)]
    bounds[1] = max(bounds[1], 1)
    return tuple(" ".join(text[start:end] for start, end in spans[first:last]) for first, last in pairwise(bounds))


def _renumbered(text: str, rng: random.Random) -> str:
    """Other digits in the place of each number, as many as it has; its first digit is not made a nought."""
    return _NUMBER.sub(
        lambda match: str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in match[0][1:]), text
    )
