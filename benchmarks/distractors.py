"""Distractor abstracts: recombined parts of real ones, with their topics and wording.

A distractor is the beginning of one abstract, the middle of a second and the end of a third, with new numbers. With
1,000 abstracts and 20,000 distractors, the beginning of each abstract (its subject and aim) occurs in about 20: these
are the nearest neighbours of a question's own abstract.
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
    """``count`` distractors with the ids ``distractor-0``, ...; equal records and seed give equal distractors.

    Args:
        records: three or more, each with an abstract.
        count: their number; a larger count extends a smaller one.
        seed: random seed.
    """
    parts = [_thirds(record.context) for record in records]
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        sources = rng.sample(range(len(parts)), _PARTS)
        text = "\n".join(part for place, source in enumerate(sources) if (part := parts[source][place]))
        id = f"{PREFIX}{number}"
        yield Document(id=id, page_content=_renumbered(text, rng), metadata={"id": id})


def _thirds(text: str) -> tuple[str, ...]:
    """The sentences of a text in three parts of about equal size; the first has at least one sentence."""
    spans = sentence_spans(text)
    bounds = [round(len(spans) * part / _PARTS) for part in range(_PARTS + 1)]
    bounds[1] = max(bounds[1], 1)
    return tuple(" ".join(text[start:end] for start, end in spans[first:last]) for first, last in pairwise(bounds))


def _renumbered(text: str, rng: random.Random) -> str:
    """Each number replaced by a random one with as many digits; the first is never 0."""
    return _NUMBER.sub(
        lambda match: str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in match[0][1:]), text
    )
