"""Claims with labelled evidence: files in SciFact's format, and tables with a row for each claim and its evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, NamedTuple

from langchain_core.documents import Document

from common.errors import DataError, UserError
from common.json_file import escape, json_type, value_problem
from corpus.config import ClaimsConfig
from corpus.rows import columns_of, file_rows, is_missing, record_name, row_id, text_of, value_text, with_column_names
from corpus.sample import DATA
from corpus.sentences import Span

Verdict = Literal["supported", "contradicted", "not enough evidence"]
CORPUS = "corpus.jsonl"  # SciFact's documents, beside its claims
_SAMPLE = "mli_test_v1.jsonl"
_LABELS: Mapping[Verdict, tuple[str, ...]] = {
    "supported": ("supported", "support", "supports", "entailment"),
    "contradicted": ("contradicted", "contradict", "contradicts", "refute", "refutes", "refuted", "contradiction"),
    "not enough evidence": (
        "not enough evidence",
        "not enough info",
        "not enough information",
        "not_enough_info",
        "noinfo",
        "nei",
        "neutral",
    ),
}
_VERDICT_BY_LABEL = {word: verdict for verdict, words in _LABELS.items() for word in words}
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "claim": ("claim", "statement", "hypothesis", "sentence2"),
    "evidence": ("evidence", "premise", "sentence1"),
    "label": ("label", "gold_label"),
    "id": ("id", "pairID"),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The verdict of a document on a claim.

    Attributes:
        id: identifies the pair of claim and document.
        document: the document's id.
        verdict: ``not enough evidence`` if the document neither supports nor contradicts the claim.
        rationales: sets of sentence numbers, from 0; each set alone justifies the verdict. Empty if unknown.
    """

    id: str
    document: str
    verdict: Verdict
    rationales: tuple[frozenset[int], ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """A claim with its evidence."""

    id: str
    text: str
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> Verdict | None:
        """The majority verdict of the documents that support or contradict; ``not enough evidence`` if there are none.

        The verdict is None if equally many support and contradict. A document with both verdicts counts once for each.
        """
        verdicts = [verdict for _, verdict in {(each.document, each.verdict) for each in self.evidence}]
        supporting, contradicting = verdicts.count("supported"), verdicts.count("contradicted")
        if supporting == contradicting:
            return None if supporting else "not enough evidence"
        return "supported" if supporting > contradicting else "contradicted"


@dataclass(frozen=True)
class ClaimData:
    """Claims, and the corpus of documents that are their evidence.

    Attributes:
        claims: the claims, at most as many as the setting ``claims.limit``.
        documents: all documents of the corpus, with their ids.
        sentences: by document id, the spans of its sentences; empty if the data has no rationales.
    """

    claims: tuple[ClaimRecord, ...]
    documents: tuple[Document, ...]
    sentences: Mapping[str, tuple[Span, ...]]

    @property
    def mixed(self) -> int:
        """Number of claims whose ``verdict`` is None."""
        return sum(claim.verdict is None for claim in self.claims)

    @cached_property
    def by_id(self) -> Mapping[str, Document]:
        """The documents by id."""
        return {str(document.id): document for document in self.documents}

    @property
    def name(self) -> str:
        """A name for the corpus that depends on its documents' ids and texts."""
        digest = sha256()
        for document in self.documents:
            digest.update(f"{document.id}\0{document.page_content}\0".encode())
        return f"claims-{digest.hexdigest()[:12]}"


def load_claims(config: ClaimsConfig) -> ClaimData:
    """The claims of the settings with their corpus.

    A JSON lines file whose rows have an object ``evidence`` is in SciFact's format (Wadden et al. 2020): ``id, claim,
    evidence`` (by document id, a list of ``{"sentences": [numbers], "label": ...}``) and ``cited_doc_ids``. The rows of
    its corpus have ``doc_id, title, abstract``, where the abstract is a list of sentences. In any other file, such as
    HealthVer's (Sarrouti et al. 2021), a row has ``evidence, claim, label``, or ``premise, hypothesis, label``. Its
    corpus is the evidence of all rows.

    Raises:
        UserError: there is no claim.
        DataError: a file is missing or has a row that cannot be used.
    """
    path = DATA / _SAMPLE if config.path == "sample" else Path(config.path).expanduser()
    names = [name for alternatives in _COLUMNS.values() for name in alternatives]
    rows: list[_Row] = []
    ids: set[str] = set()
    for line, row in file_rows(path):
        named = with_column_names(row, names)
        rows.append(_Row(record_name(line), row_id(named, _COLUMNS["id"], line), named))
        if rows[-1].id in ids:
            raise DataError(path, f"the id {escape(rows[-1].id)!r} occurs twice.", record=rows[-1].record)
        ids.add(rows[-1].id)
    if any(isinstance(row.cells.get("evidence"), dict) for row in rows):
        claims, documents, sentences = _scifact(path, rows, config)
    else:
        if config.corpus is not None:
            problem = "is not in SciFact's format, so the evidence of its rows is the corpus."
            raise DataError(path, f"{problem} Set claims.corpus to null.")
        claims, documents, sentences = (*_rows_as_claims(path, rows), {})
    if not claims:
        raise UserError(f"{path}: there is no claim. Name another file in claims.path.")
    return ClaimData(tuple(claims[: config.limit]), tuple(documents), sentences)


class _Row(NamedTuple):
    record: str  # its name in messages
    id: str
    cells: Mapping[str, Any]


def _scifact(
    path: Path, rows: Sequence[_Row], config: ClaimsConfig
) -> tuple[list[ClaimRecord], list[Document], dict[str, tuple[Span, ...]]]:
    corpus = path.with_name(CORPUS) if config.corpus is None else Path(config.corpus).expanduser()
    documents: list[Document] = []
    sentences: dict[str, tuple[Span, ...]] = {}
    for line, row in file_rows(corpus):
        document, spans = _document(corpus, record_name(line), row)
        if document.id in sentences:
            raise DataError(
                corpus, f"the document {escape(str(document.id))!r} occurs twice.", record=record_name(line)
            )
        documents.append(document)
        sentences[str(document.id)] = spans
    claims: list[ClaimRecord] = []
    for record, id, row in rows:
        evidence = row.get("evidence")
        if not isinstance(evidence, dict):
            raise DataError(path, f"must be an object, not {json_type(evidence)}.", record=record, field="evidence")
        text = _column_text(path, record, row, "claim")
        cited = row.get("cited_doc_ids")
        document_ids = dict.fromkeys(
            [*map(str, evidence), *(map(value_text, cited) if isinstance(cited, list) else ())]
        )
        claim_evidence = []
        for name in document_ids:
            if name not in sentences:
                problem = f"names the document {escape(name)!r}, which is not in {corpus}."
                raise DataError(path, problem, record=record, field="evidence")
            claim_evidence.append(_evidence(path, record, id, name, evidence.get(name, []), len(sentences[name])))
        claims.append(ClaimRecord(id, text, tuple(claim_evidence)))
    return claims, documents, sentences


def _document(path: Path, record: str, row: Mapping[str, Any]) -> tuple[Document, tuple[Span, ...]]:
    """A document of SciFact's corpus, its title above its abstract, with the spans of its sentences."""
    id = next((value_text(row[name]) for name in ("doc_id", "_id", "id") if not is_missing(row.get(name))), None)
    if id is None:
        raise DataError(path, "has no doc_id.", record=record)
    title, abstract = row.get("title"), row.get("abstract", row.get("text"))
    abstract = [abstract] if isinstance(abstract, str) else abstract
    if not isinstance(abstract, list) or not all(
        isinstance(text, str) and not value_problem(text) for text in abstract
    ):
        raise DataError(path, "must be a list of sentences.", record=record, field="abstract")
    text = f"{title.strip()}\n\n" if isinstance(title, str) and title.strip() and not value_problem(title) else ""
    metadata = {"title": text.strip()} if text else {}
    spans = []
    for sentence in map(str.strip, abstract):
        spans.append((len(text), len(text) + len(sentence)))
        text += f"{sentence} "
    return Document(id=id, page_content=text.rstrip(), metadata=metadata), tuple(spans)


def _evidence(path: Path, record: str, claim: str, document: str, labelled: object, count: int) -> Evidence:
    """The evidence of a document with ``count`` sentences; ``labelled`` is the claim's list of rationales in it."""
    rationales: list[frozenset[int]] = []
    verdicts: set[Verdict] = set()
    for rationale in labelled if isinstance(labelled, list) else [labelled]:
        match rationale:
            case {"sentences": list(numbers), "label": label} if all(
                type(n) is int and 0 <= n < count for n in numbers
            ):
                rationales.append(frozenset(numbers))
                verdicts.add(_verdict(path, record, label, "evidence"))
            case _:
                needs = f"needs {{sentences, label}}, with numbers of its {count} sentences."
                raise DataError(path, f"document {escape(document)!r} {needs}", record=record, field="evidence")
    if len(verdicts) > 1:
        raise DataError(path, f"gives document {escape(document)!r} two labels.", record=record, field="evidence")
    return Evidence(f"{claim}:{document}", document, next(iter(verdicts), "not enough evidence"), tuple(rationales))


def _rows_as_claims(path: Path, rows: Sequence[_Row]) -> tuple[list[ClaimRecord], list[Document]]:
    """The claims and documents of rows with evidence, claim and label.

    Rows with equal claims give one claim. Rows with equal evidence give one document.
    """
    documents: dict[str, Document] = {}
    texts: dict[str, str] = {}
    evidence: dict[str, list[Evidence]] = {}
    for record, id, row in rows:
        claim, premise = (_column_text(path, record, row, field) for field in ("claim", "evidence"))
        name = _column(path, record, row, "label")
        document = documents.setdefault(premise, Document(id=f"e{len(documents) + 1}", page_content=premise))
        key = " ".join(claim.casefold().split())
        texts.setdefault(key, claim)
        verdict = _verdict(path, record, row[name], name)
        evidence.setdefault(key, []).append(Evidence(id, str(document.id), verdict))
    claims = [ClaimRecord(evidence[key][0].id, text, tuple(evidence[key])) for key, text in texts.items()]
    return claims, list(documents.values())


def _column_text(path: Path, record: str, row: Mapping[str, Any], field: str) -> str:
    return text_of(path, record, row, _column(path, record, row, field))


def _column(path: Path, record: str, row: Mapping[str, Any], field: str) -> str:
    """The column of a row that holds ``field``, under any of the field's names."""
    for name in _COLUMNS[field]:
        if name in row:
            return name
    problem = f"has no {' or '.join(_COLUMNS[field])} (columns here: {columns_of(row)})."
    problem += " Rename the column, or name a file with labels: SciFact's test claims have none."
    raise DataError(path, problem, record=record)


def _verdict(path: Path, record: str, label: object, field: str) -> Verdict:
    verdict = _VERDICT_BY_LABEL.get(str(label).strip().casefold())
    if verdict is None:
        known = "; ".join(", ".join(words) for words in _LABELS.values())
        raise DataError(path, f"{escape(str(label))!r} is not a label. Known are {known}.", record=record, field=field)
    return verdict
