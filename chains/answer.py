"""What a question-answering chain returns."""

from itertools import zip_longest
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from corpus.evidence import table_cells

Verdict = Literal["supported", "contradicted", "not enough evidence"]


class Passage(BaseModel):
    """A retrieved text with its id and the retriever's score (higher is better; the scale is the retriever's own).

    ``metadata`` is what the retriever's document says of itself besides. A passage of the user's own documents has at
    least its ``source``, and ``start`` and ``end``, which cut its ``text`` out of the stored extracted text; ``page``,
    ``section``, ``title`` and ``year`` where they are known.

    With ``chain.evidence: summaries``, ``summary`` is what the answering model read instead of ``text``, written by a
    model, and ``relevance`` that model's score for the question, from 0 to 10. Quotes and verdicts are always of
    ``text``.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    score: float | None = None
    metadata: dict[str, Any] = {}
    summary: str | None = None
    relevance: int | None = None

    @property
    def read(self) -> str:
        """The text that the answering model reads."""
        return self.text if self.summary is None else self.summary

    @property
    def origin(self) -> str:
        """Where the text stands, in words: title, file, page and section; empty where none is known."""
        parts = []
        for name in ("title", "source", "page", "section"):
            if value := " ".join(str(self.metadata.get(name) or "").split()):
                parts.append(value if name in ("title", "source") else f"{name} {value}")
        return ", ".join(parts)


class Citation(BaseModel):
    """A verbatim quote: ``passage.text[start:end] == quote`` for the passage with ``passage_id``.

    ``headings`` are the column headings of a quoted table row. ``also_in`` names other passages that have the same
    sentence.
    """

    model_config = ConfigDict(frozen=True)

    passage_id: str
    quote: str
    start: int
    end: int
    score: float
    headings: tuple[str, ...] = ()
    also_in: tuple[str, ...] = ()

    @property
    def readable(self) -> str:
        """The quote in one line; each cell of a table row stands behind its column heading."""
        cells = table_cells(self.quote) if self.headings else []
        if not cells:
            return " ".join(self.quote.split())
        named = zip_longest(self.headings[: len(cells)], cells, fillvalue="")
        return "; ".join(f"{heading}: {cell}" if heading else cell for heading, cell in named if cell)


class Verification(BaseModel):
    """The basis of a verdict on an answer or on one of its sentences.

    ``statement`` is what was judged: the question answered with yes, or the sentence without its marks. ``scores`` are
    the probabilities of the three verdicts, which sum to 1; empty where the model wrote its judgement instead of
    scoring labels. ``passage_id`` names the passage that decided, None where there was none to judge by. ``sentence``
    is the sentence of that passage which has the highest probability of the verdict when it is judged alone, that
    probability as its ``score``; None where there is not enough evidence, since no sentence decides that.
    """

    model_config = ConfigDict(frozen=True)

    statement: str
    scores: dict[Verdict, float] = {}
    passage_id: str | None = None
    sentence: Citation | None = None


class Sentence(BaseModel):
    """A sentence of an answer: ``answer.text[start:end] == text``, marks included.

    ``citations`` are numbers of passages (``chains.marks.passage_numbers``). They are those of the sentence's marks;
    with ``attributed`` the sentence has no marks, and they name the passage that was found to support it afterwards.
    ``verdict`` and ``verification`` are those of an entailment model on this sentence alone, None where none judged
    it; ``verification.sentence`` quotes the evidence that decided.
    """

    model_config = ConfigDict(frozen=True)

    text: str
    start: int
    end: int
    citations: tuple[int, ...] = ()
    attributed: bool = False
    verdict: Verdict | None = None
    verification: Verification | None = None


class Conflict(BaseModel):
    """A statement of an answer that some of its passages support and others contradict.

    ``supporting`` and ``contradicting`` are quotes of the passages, newest first, then by score; a quote's ``score`` is
    the probability that it supports or contradicts the statement.
    """

    model_config = ConfigDict(frozen=True)

    statement: str
    supporting: tuple[Citation, ...]
    contradicting: tuple[Citation, ...]


class Withheld(BaseModel):
    """An answer that was found and not given; the fields mean what they mean in ``Answer``."""

    model_config = ConfigDict(frozen=True)

    text: str
    label: str | None = None
    label_scores: dict[str, float] = {}
    output: str | None = None
    sentences: tuple[Sentence, ...] = ()


class Answer(BaseModel):
    """One answer with its evidence.

    ``label`` is None where the generated text names no label (unparsed); ``label_scores`` are probabilities over the
    candidate labels that sum to 1, empty when the label was parsed from generated text. ``prompt`` is the text sent
    to the model, ``output`` the generated text (None when the label was scored). ``notes`` tell the reader what the
    chain had to do to answer, such as shortening the context.

    ``verdict`` is what an entailment model makes of the answer, ``verification`` how it came to that; both are None
    where none has judged it. ``withheld`` holds an answer that was kept back for want of support: ``text`` then says
    so, and ``verdict`` is about what was withheld.

    ``sentences`` are those of a written text, or the quotes of an extractive answer; empty where the answer is a label.
    ``removed`` are the sentences that ``chain.verify: prune`` has taken out of the text; their places are those in the
    text before. ``conflicts`` are the statements of a verified answer on which its passages disagree; a note describes
    each.

    ``reused`` says that a cache of earlier results had all that the model would have computed for this answer.
    """

    model_config = ConfigDict(frozen=True)

    question: str
    text: str
    label: str | None = None
    label_scores: dict[str, float] = {}
    sentences: tuple[Sentence, ...] = ()
    removed: tuple[Sentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    verdict: Verdict | None = None
    verification: Verification | None = None
    conflicts: tuple[Conflict, ...] = ()
    withheld: Withheld | None = None
    prompt: str | None = None
    output: str | None = None
    notes: tuple[str, ...] = ()
    reused: bool = Field(default=False, exclude=True, repr=False)

    def noted(self, *notes: str, **update: Any) -> "Answer":
        """A copy with further notes and other changed fields."""
        return self.model_copy(update={**update, "notes": (*self.notes, *notes)})

    def withhold(self, text: str) -> "Answer":
        """A copy that abstains with ``text``; what was answered is kept in ``withheld``."""
        kept = Withheld(**{name: getattr(self, name) for name in Withheld.model_fields})
        abstention = dict(Withheld(text=text))  # the text, and the defaults of all other fields
        return self.model_copy(update={**abstention, "withheld": kept})
