"""Checked claims: is the verdict on each claim the expert's, and is its evidence?"""

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
from eval.tasks.scorers import CHECKS, Scorer

CHUNK = 16


@dataclass(frozen=True, slots=True)
class _Asked:
    """A claim with the verdict that is right and the evidence that the data has."""

    id: str
    text: str
    target: str
    evidence: tuple[Evidence, ...]


class CheckTask(Task):
    """Checks each claim of section ``claims`` and compares the verdict with the data's.

    Of the context ``given`` each claim is checked against each document that the data judges it by, one at a time
    (``check_given``); of ``retrieved`` it is checked once against what a retriever finds in the data's corpus
    (``check_retrieved_NAME``). Its verdict is then that of most of its documents; claims that as many documents support
    as contradict are left out. A claim too long for the judge is left out, with a warning.

    A sample adds ``conflicting, supporting, contradicting``, ``evidence`` (counts of sentences) and ``found`` (whether
    a deciding document is among the passages), see ``stats.claims``.
    """

    kind: ClassVar[str] = "check"
    section: ClassVar[Section] = CHECKING

    context: Literal["given", "retrieved"] = "given"
    variant: None = None

    @model_validator(mode="after")
    def _retrieves(self) -> Self:
        if (self.context == "retrieved") != (self.retriever is not None):
            raise ValueError("context retrieved needs the name of a retriever, and given has none")
        return self

    @property
    def scorer(self) -> Scorer:
        """Verdicts and evidence."""
        return CHECKS

    def title(self, config: Mapping[str, Any]) -> str:  # noqa: ARG002
        """What the claims are checked against."""
        return "given evidence" if self.context == "given" else f"evidence retrieved by {self.retriever}"

    def run(self, resources: Resources) -> TaskResult:
        """Measure the judge and the retriever of the settings."""
        checker = resources.checker(self.retriever)
        return self.evaluate(checker.model, resources.claims(), identity=checker.identity, quiet=resources.quiet)

    def evaluate(
        self, checker: Checker, data: ClaimData, *, identity: Mapping[str, Any], quiet: bool = False
    ) -> TaskResult:
        """Check every claim and score verdicts and evidence.

        The checker searches the documents of ``data`` if the context is ``retrieved``. ``identity`` determines the
        results besides claims and passages; see ``TaskResult``.

        Raises:
            UserError: no claim has a verdict, or one cannot be checked for another reason than its length.
        """
        asked = self._asked(data)
        if not asked:
            raise UserError(f"{self.name}: there are no claims with a verdict. Name another file or a higher limit.")
        claims = [Claim(one.text, passages=self._given(one, data)) for one in asked]
        kept = run_batches(self.name, "claim", asked, claims, checker.check_all, CHUNK, quiet=quiet)
        samples = [
            self._sample(one, check, data, identity) for one, check in zip(kept.records, kept.results, strict=True)
        ]
        return self.result(samples, VERDICTS, kept, identity)

    def _asked(self, data: ClaimData) -> list[_Asked]:
        if self.context == "given":
            return [_Asked(one.id, claim.text, one.verdict, (one,)) for claim in data.claims for one in claim.evidence]
        return [_Asked(one.id, one.text, one.verdict, one.evidence) for one in data.claims if one.verdict is not None]

    def _given(self, asked: _Asked, data: ClaimData) -> tuple[Passage, ...] | None:
        if self.context == "retrieved":
            return None
        found = [data.by_id[one.document] for one in asked.evidence]
        return tuple(Passage(id=str(one.id), text=one.page_content, metadata=one.metadata) for one in found)

    def _sample(self, asked: _Asked, check: Check, data: ClaimData, identity: Mapping[str, Any]) -> dict[str, Any]:
        deciding = {one.document for one in asked.evidence if one.verdict != "not enough evidence"}
        found = {passage.id for passage in check.passages}
        passages = [[passage.id, passage.text] for passage in check.passages]
        return {
            "id": asked.id,
            "question": asked.text,
            "prompt": None,
            "output": None,
            "label_scores": check.scores,
            "prediction": check.verdict,
            "target": asked.target,
            "retrieved": [{"id": passage.id, "score": passage.score} for passage in check.passages],
            "key": content_key(statement=asked.text, passages=passages, identity=identity),
            "notes": check.notes,
            "conflicting": check.conflicting,
            "supporting": [one.model_dump() for one in check.supporting],
            "contradicting": [one.model_dump() for one in check.contradicting],
            "evidence": _counted(asked.evidence, check, data) if data.sentences else None,
            "found": bool(deciding & found) if deciding and self.context == "retrieved" else None,
        }


def _counted(evidence: Sequence[Evidence], check: Check, data: ClaimData) -> dict[str, int]:
    """Correct, predicted and gold sentences of evidence."""
    by_document = {one.document: one for one in evidence}
    correct = predicted = 0
    for verdict, citations in (("supported", check.supporting), ("contradicted", check.contradicting)):
        for document in dict.fromkeys(one.passage_id for one in citations):
            chosen = _numbers(data, document, [one for one in citations if one.passage_id == document])
            predicted += len(chosen)
            if (gold := by_document.get(document)) is not None:
                rationales = [sorted(one) for one in gold.rationales]
                correct += correct_sentences(chosen, rationales, has_right_label=gold.verdict == verdict)
    total = sum(len(frozenset().union(*one.rationales)) for one in evidence)
    return {"correct": correct, "predicted": predicted, "gold": total}


def _numbers(data: ClaimData, document: str, citations: Sequence[Citation]) -> list[int]:
    """The numbers of a document's sentences that quotes overlap."""
    return [
        number
        for number, (start, end) in enumerate(data.sentences.get(document, ()))
        if any(one.start < end and start < one.end for one in citations)
    ]
