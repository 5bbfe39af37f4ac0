"""Distractor abstracts, composed of parts of real abstracts.

A distractor is the beginning of one abstract, the middle of a second and the end of a third, with other numbers. With
1,000 abstracts and 20,000 distractors, the beginning of each abstract (its subject and aim) also occurs in about 20
distractors, which are the nearest neighbours of the abstract.
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
        records: at least three records with abstracts.
        count: number of distractors; those of a smaller count are the first of a larger count.
        seed: random seed.
    """
    abstracts = [_thirds(record.context) for record in records]
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        sources = rng.sample(abstracts, _PARTS)
        text = "\n".join(part for index, source in enumerate(sources) if (part := source[index]))
        id = f"{PREFIX}{number}"
        yield Document(id=id, page_content=_renumbered(text, rng), metadata={"id": id})


def _thirds(text: str) -> tuple[str, ...]:
    """Three parts of a text with about as many sentences; the first has at least one."""
    spans = sentence_spans(text)
    bounds = [round(len(spans) * number / _PARTS) for number in range(_PARTS + 1)]
    bounds[1] = max(bounds[1], 1)
    return tuple(" ".join(text[start:end] for start, end in spans[first:last]) for first, last in pairwise(bounds))


def _renumbered(text: str, rng: random.Random) -> str:
    """The text with each number replaced by a random one with as many digits, the first of them not 0."""
    return _NUMBER.sub(
        lambda match: str(rng.randint(1, 9)) + "".join(str(rng.randint(0, 9)) for _ in match[0][1:]), text
    )
