"""Checked claims: verdicts and evidence compared with the data's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import model_validator

from chains.answer import Citation, Passage
from chains.verification.statements import Check, Checker, Claim
from common.errors import UserError
from common.fingerprints import content_key
from corpus.inference.claims import ClaimData, Evidence
from eval.results import TaskResult
from eval.stats.claims import correct_sentences
from eval.stats.verification import VERDICTS
from eval.tasks.base import CHECKING, Resources, Section, Task, run_batches
from eval.tasks.scorers import CHECKS, Sample, Scorer

CHUNK = 16  # claims per call of the checker


@dataclass(frozen=True, slots=True)
class _Item:
    """A claim to check, with the right verdict and the data's evidence."""

    id: str
    text: str
    target: str
    evidence: tuple[Evidence, ...]


class CheckTask(Task):
    """Checks each claim of section ``claims`` and compares the verdict with the data's.

    With the context ``given`` (``check_given``), each claim is checked against each of its documents in the data
    separately. With ``retrieved`` (``check_retrieved_NAME``), each claim is checked once, against the passages that a
    retriever finds in the data's corpus. The right verdict is then the verdict of most of the claim's documents; claims
    without a majority are left out. A claim that is too long for the NLI model is left out, with a warning.

    A sample adds ``conflicting, supporting, contradicting``, ``evidence`` (counts of sentences) and ``found`` (whether
    a deciding document is among the passages); see ``stats.claims``.
    """

    kind: ClassVar[str] = "check"
    section: ClassVar[Section] = CHECKING

    context: Literal["given", "retrieved"] = "given"
    variant: None = None

    @model_validator(mode="after")
    def _check_retriever(self) -> Self:
        if (self.context == "retrieved") != (self.retriever is not None):
            raise ValueError("context retrieved needs the name of a retriever, and given has none")
        return self

    @property
    def scorer(self) -> Scorer:
        """The scorer of verdicts and evidence."""
        return CHECKS

    def title(self, config: Mapping[str, Any]) -> str:  # noqa: ARG002
        """Whether evidence is given or retrieved, and by which retriever."""
        return "given evidence" if self.context == "given" else f"evidence retrieved by {self.retriever}"

    def run(self, resources: Resources) -> TaskResult:
        """Measure the checker and the retriever of the settings."""
        checker = resources.checker(self.retriever)
        return self.evaluate(checker.model, resources.claims(), identity=checker.identity, quiet=resources.quiet)

    def evaluate(
        self, checker: Checker, data: ClaimData, *, identity: Mapping[str, Any], quiet: bool = False
    ) -> TaskResult:
        """Check every claim and score verdicts and evidence.

        If the context is ``retrieved``, the checker must search the documents of ``data``. ``identity`` is everything
        besides claims and passages that determines the results; see ``TaskResult``.

        Raises:
            UserError: no claim has a verdict, or a claim cannot be checked for another reason than its length.
        """
        items = self._items(data)
        if not items:
            raise UserError(f"{self.name}: there are no claims with a verdict. Name another file or a higher limit.")
        claims = [Claim(item.text, passages=self._given_passages(item, data)) for item in items]
        outcomes = run_batches(self.name, "claim", items, claims, checker.check_all, CHUNK, quiet=quiet)
        samples = [
            self._sample(item, check, data, identity)
            for item, check in zip(outcomes.records, outcomes.results, strict=True)
        ]
        return self.result(samples, VERDICTS, outcomes, identity)

    def agrees_with(self, samples: Sequence[Sample], texts: Mapping[str, str], identity: Mapping[str, Any]) -> bool:
        """Whether the samples' keys match ``texts``, the documents by id."""
        return all(
            sample.get("key") in (None, _sample_key(sample["question"], passages, identity))
            for sample in samples
            if (passages := [(hit["id"], texts.get(hit["id"], "")) for hit in sample["retrieved"]])
        )

    def _items(self, data: ClaimData) -> list[_Item]:
        """With given evidence, an item per claim and document; else an item per claim that has a majority verdict."""
        if self.context == "given":
            return [_Item(e.id, claim.text, e.verdict, (e,)) for claim in data.claims for e in claim.evidence]
        return [_Item(c.id, c.text, c.verdict, c.evidence) for c in data.claims if c.verdict is not None]

    def _given_passages(self, item: _Item, data: ClaimData) -> tuple[Passage, ...] | None:
        if self.context == "retrieved":
            return None
        documents = [data.by_id[evidence.document] for evidence in item.evidence]
        return tuple(Passage(id=str(doc.id), text=doc.page_content, metadata=doc.metadata) for doc in documents)

    def _sample(self, item: _Item, check: Check, data: ClaimData, identity: Mapping[str, Any]) -> dict[str, Any]:
        deciding = {evidence.document for evidence in item.evidence if evidence.verdict != "not enough evidence"}
        passage_ids = {passage.id for passage in check.passages}
        passages = [(str(passage.id), passage.text) for passage in check.passages]
        return {
            "id": item.id,
            "question": item.text,
            "prompt": None,
            "output": None,
            "label_scores": check.scores,
            "prediction": check.verdict,
            "target": item.target,
            "retrieved": [{"id": passage.id, "score": passage.score} for passage in check.passages],
            "key": _sample_key(item.text, passages, identity),
            "notes": check.notes,
            "conflicting": check.conflicting,
            "supporting": [citation.model_dump() for citation in check.supporting],
            "contradicting": [citation.model_dump() for citation in check.contradicting],
            "evidence": _evidence_counts(item.evidence, check, data) if data.sentences else None,
            "found": bool(deciding & passage_ids) if deciding and self.context == "retrieved" else None,
        }


def _sample_key(statement: str, passages: Sequence[tuple[str, str]], identity: Mapping[str, Any]) -> str:
    """The key of a sample; ``passages`` are ids and texts."""
    return content_key(statement=statement, passages=passages, identity=identity)


def _evidence_counts(evidence: Sequence[Evidence], check: Check, data: ClaimData) -> dict[str, int]:
    """The numbers of correct, predicted and gold evidence sentences of a claim."""
    gold_by_document = {gold.document: gold for gold in evidence}
    correct = predicted = 0
    for verdict, citations in (("supported", check.supporting), ("contradicted", check.contradicting)):
        for document in dict.fromkeys(citation.passage_id for citation in citations):
            of_document = [citation for citation in citations if citation.passage_id == document]
            quoted = _quoted_sentences(data, document, of_document)
            predicted += len(quoted)
            if (gold := gold_by_document.get(document)) is not None:
                rationales = [sorted(rationale) for rationale in gold.rationales]
                correct += correct_sentences(quoted, rationales, has_right_label=gold.verdict == verdict)
    n_gold = sum(len(frozenset().union(*gold.rationales)) for gold in evidence)
    return {"correct": correct, "predicted": predicted, "gold": n_gold}


def _quoted_sentences(data: ClaimData, document: str, citations: Sequence[Citation]) -> list[int]:
    """The numbers of the document's sentences that overlap with a citation's quote."""
    return [
        number
        for number, (start, end) in enumerate(data.sentences.get(document, ()))
        if any(max(citation.start, start) < min(citation.end, end) for citation in citations)
    ]
