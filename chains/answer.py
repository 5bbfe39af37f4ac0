"""The result of a question-answering chain: the answer with its evidence."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from corpus.evidence import labelled_cells

Verdict = Literal["supported", "contradicted", "not enough evidence"]


class Passage(BaseModel, frozen=True):
    """A retrieved text with its id and the retriever's score (higher is better; the scale depends on the retriever).

    ``metadata`` is that of the retriever's document. For a passage of the user's own documents, it has at least
    ``source``, ``start`` and ``end``. ``text`` is the part from ``start`` to ``end`` of the stored extracted text. If
    they are known, ``metadata`` also has ``page``, ``section``, ``title`` and ``year``.

    With ``chain.evidence: summaries``, the answering model has written ``summary`` and reads it instead of ``text``;
    ``relevance``, from 0 to 10, is its score for the question. Quotes and verdicts are always of ``text``.
    """

    id: str
    text: str
    score: float | None = None
    metadata: dict[str, Any] = {}
    summary: str | None = None
    relevance: int | None = None

    @property
    def text_for_model(self) -> str:
        """The text that the answering model reads: the summary if there is one."""
        return self.text if self.summary is None else self.summary

    @property
    def section_and_title(self) -> tuple[str, str]:
        """Section and title in the metadata; empty texts if unknown."""
        return str(self.metadata.get("section") or ""), str(self.metadata.get("title") or "")

    @property
    def origin(self) -> str:
        """Title, file, page and section of the text, on one line; empty if none is known."""
        parts = []
        for name in ("title", "source", "page", "section"):
            if value := " ".join(str(self.metadata.get(name) or "").split()):
                parts.append(value if name in ("title", "source") else f"{name} {value}")
        return ", ".join(parts)

    def quote(self, start: int, end: int, score: float) -> "Citation":
        """A quote of ``text[start:end]``."""
        return Citation(passage_id=self.id, quote=self.text[start:end], start=start, end=end, score=score)


class Citation(BaseModel, frozen=True):
    """A verbatim quote: ``passage.text[start:end] == quote`` for the passage with ``passage_id``.

    ``headings`` are the column headings of a quoted table row. ``also_in`` names other passages with the same sentence.
    """

    passage_id: str
    quote: str
    start: int
    end: int
    score: float
    headings: tuple[str, ...] = ()
    also_in: tuple[str, ...] = ()

    @property
    def readable(self) -> str:
        """The quote on one line; each cell of a table row follows its column heading."""
        return labelled_cells(self.quote, self.headings) if self.headings else " ".join(self.quote.split())


class Verification(BaseModel, frozen=True):
    """The basis of a verdict on an answer or on one of its sentences.

    ``statement`` is the judged text: the question answered with yes, or the sentence without its marks. ``scores`` are
    the probabilities of the three verdicts, which sum to 1; empty if the judgement was parsed from text. ``passage_id``
    is the deciding passage, None if there was no passage. Sentences of that passage are also judged alone.
    ``sentence`` is the one with the highest probability of the verdict, and this probability is its ``score``. It is
    None for the verdict "not enough evidence", since no single sentence decides that.
    """

    statement: str
    scores: dict[Verdict, float] = {}
    passage_id: str | None = None
    sentence: Citation | None = None


class Sentence(BaseModel, frozen=True):
    """A sentence of an answer: ``answer.text[start:end] == text``, marks included.

    ``citations`` are the numbers of the passages (``chains.marks.passage_numbers``) that the sentence's marks name.
    If ``attributed`` is true, the sentence has no marks, and ``citations`` is the passage identified as its source.
    ``verdict`` and ``verification`` are an entailment model's for this sentence alone; None if it was not judged.
    """

    text: str
    start: int
    end: int
    citations: tuple[int, ...] = ()
    attributed: bool = False
    verdict: Verdict | None = None
    verification: Verification | None = None


class Conflict(BaseModel, frozen=True):
    """A statement of an answer that some of its passages support and others contradict.

    ``supporting`` and ``contradicting`` are quotes of the passages, newest first, then by score; a quote's ``score`` is
    the probability that it supports or contradicts the statement.
    """

    statement: str
    supporting: tuple[Citation, ...]
    contradicting: tuple[Citation, ...]


class Withheld(BaseModel, frozen=True):
    """An answer that is not given; the fields have the same meaning as in ``Answer``."""

    text: str
    label: str | None = None
    label_scores: dict[str, float] = {}
    output: str | None = None
    sentences: tuple[Sentence, ...] = ()


class Answer(BaseModel, frozen=True):
    """One answer with its evidence.

    ``label`` is None if the generated text has no label; ``label_scores`` are probabilities over the candidate labels
    that sum to 1, empty if the label was parsed from generated text. ``prompt`` is the text sent to the model,
    ``output`` the generated text (None if the label was scored). ``notes`` report what affected the answer, such as a
    shortened context.

    ``verdict`` is an entailment model's, with its basis in ``verification``; both are None if the answer was not
    verified. ``withheld`` is an unsupported answer that is not given: ``text`` then reports the abstention, and
    ``verdict`` concerns ``withheld``.

    ``sentences`` are those of a written text, or the quotes of an extractive answer; empty for a label. ``removed`` are
    the sentences removed by ``chain.verify: prune``, with their positions in the original text. ``conflicts`` are the
    statements of a verified answer on which its passages disagree; a note describes each.

    ``reused``: whether all results of the model came from the cache. ``truncated``: whether the token limit cut the
    written text off; a note says so.
    """

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
    truncated: bool = Field(default=False, exclude=True, repr=False)

    def noted(self, *notes: str, **update: Any) -> "Answer":
        """A copy with further notes and other changed fields."""
        return self.model_copy(update={**update, "notes": (*self.notes, *notes)})

    def withhold(self, text: str) -> "Answer":
        """A copy that abstains with ``text`` and has this answer in ``withheld``."""
        withheld = Withheld(**{name: getattr(self, name) for name in Withheld.model_fields})
        abstention = dict(Withheld(text=text))  # ``text``, and the defaults of the other fields
        return self.model_copy(update={**abstention, "withheld": withheld})
