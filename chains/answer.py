"""What a question-answering chain returns."""

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Passage(BaseModel):
    """A retrieved text with its id and the retriever's score (higher is better; the scale is the retriever's own)."""

    model_config = ConfigDict(frozen=True)

    id: str
    text: str
    score: float | None = None


class Citation(BaseModel):
    """A verbatim quote: ``passage.text[start:end] == quote`` for the passage with ``passage_id``."""

    model_config = ConfigDict(frozen=True)

    passage_id: str
    quote: str
    start: int
    end: int
    score: float


class Answer(BaseModel):
    """One answer with its evidence.

    ``label`` is None where the generated text names no label (unparsed); ``label_scores`` are probabilities over the
    candidate labels that sum to 1, empty when the label was parsed from generated text. ``prompt`` is the text sent
    to the model, ``output`` the generated text (None when the label was scored). ``notes`` tell the reader what the
    chain had to do to answer, such as shortening the context. ``verdict`` is None where no entailment model has judged
    the answer.
    """

    model_config = ConfigDict(frozen=True)

    question: str
    text: str
    label: str | None = None
    label_scores: dict[str, float] = {}
    citations: tuple[Citation, ...] = ()
    passages: tuple[Passage, ...] = ()
    verdict: Literal["supported", "contradicted", "not enough evidence"] | None = None
    prompt: str | None = None
    output: str | None = None
    notes: tuple[str, ...] = ()
