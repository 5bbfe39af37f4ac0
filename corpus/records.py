"""Question records of PubMedQA: a research question, its abstract and an expert's answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document

Label = Literal["yes", "no", "maybe"]
LABELS: tuple[Label, ...] = ("yes", "no", "maybe")


@dataclass(frozen=True, slots=True)
class QARecord:
    """One PubMedQA record (Jin et al. 2019): the question, the abstract without its conclusion, and the answer.

    Attributes:
        contexts: texts of the abstract's sections, in order.
        label: the answer; None in the unlabelled subset.
        sections: headings of the sections.
        conclusion: the abstract's conclusion (``LONG_ANSWER``), which is never part of the context.
        year: year of publication; retrievers can filter by it.
        mesh: MeSH headings; retrievers can filter by them.
    """

    id: str
    question: str
    contexts: tuple[str, ...]
    label: Label | None
    sections: tuple[str, ...] = ()
    conclusion: str = ""
    year: int | None = None
    mesh: tuple[str, ...] = ()

    @property
    def context(self) -> str:
        """The abstract without its conclusion, one section per line."""
        return "\n".join(self.contexts)

    def document(self) -> Document:
        """The context as a LangChain document with the record's id; its metadata are named as those of PubMed files."""
        metadata: dict[str, Any] = {"id": self.id}
        if self.year is not None:
            metadata["year"] = self.year
        if self.mesh:
            metadata["mesh"] = list(self.mesh)
        return Document(id=self.id, page_content=self.context, metadata=metadata)


def documents(records: Sequence[QARecord]) -> list[Document]:
    """The records' contexts as documents, in order."""
    return [record.document() for record in records]
