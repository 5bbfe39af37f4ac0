"""Verified answers, scored by their labels and verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from chains.answer import Answer, Passage
from chains.verification.answers import Verifier
from common.errors import UserError
from corpus.records import LABELS, QARecord
from eval.results import TaskResult
from eval.tasks.base import VERIFICATION, QAChain, Resources, Section
from eval.tasks.qa import QATask, wrong_contexts
from eval.tasks.scorers import UNSUPPORTABLE, VERDICTS, Scorer


class VerificationTask(QATask):
    """Answers each question as ``QATask`` does and compares the verdicts with the labels.

    The contexts are those of ``QATask`` (``verified_gold`` and so on) and ``swapped``, in which the answer comes from
    the record's own abstract and is verified against another record's. With ``wrong`` and ``swapped``, no answer should
    be supported. ``swapped`` measures only the verifier, since the answering model does not see the wrong abstract.

    A sample adds ``verdict``, ``verdict_scores``, ``statement``, ``verified_against`` (the id of the passage that
    decided the verdict) and ``sentence`` (the deciding sentence of that passage, or None). The metrics are those of
    ``stats.verification``.
    """

    kind: ClassVar[str] = "verified"
    section: ClassVar[Section] = VERIFICATION

    context: Literal["none", "gold", "retrieved", "wrong", "swapped"]  # type: ignore[assignment]

    @property
    def scorer(self) -> Scorer:
        """The scorer of verdicts; for ``wrong`` and ``swapped``, of the share of supported answers."""
        return UNSUPPORTABLE if self.context in ("wrong", "swapped") else VERDICTS

    def run(self, resources: Resources) -> TaskResult:
        """Measure the model, retriever and verifier of the settings."""
        chain = resources.verified_chain(self._chain_context, self.retriever)
        verifier = None
        answering = chain.model
        if self.context == "swapped":
            verifier, answering = resources.verifier(), resources.chain("gold").model
        records = resources.records(self.variant)
        return self.evaluate(answering, records, identity=chain.identity, verifier=verifier, quiet=resources.quiet)

    def evaluate(
        self,
        chain: QAChain,
        records: Sequence[QARecord],
        *,
        identity: Mapping[str, Any],
        verifier: Verifier | None = None,
        quiet: bool = False,
    ) -> TaskResult:
        """Answer every question and score the verdicts.

        The chain must verify and return every answer (``chain.verify`` is report or retry). For ``swapped`` the chain
        must not verify, since ``verifier`` does. ``identity`` is everything besides the prompt that determines answers
        and verdicts, the NLI model included.

        Raises:
            UserError: as ``QATask.evaluate``, or the chain withholds an answer.
            ValueError: ``verifier`` is missing for ``swapped``, or set for another context.
        """
        if (verifier is None) == (self.context == "swapped"):
            raise ValueError("a verifier belongs to the context swapped, and to no other")
        outcomes = self.answers(chain, records, quiet=quiet)
        if any(answer.withheld for answer in outcomes.results):
            raise UserError(
                f"{self.name}: the chain withheld answers, which cannot be scored. Set chain.verify to report or retry."
            )
        unverified = self.samples(outcomes.records, outcomes.results, identity)
        if verifier is not None:
            outcomes = outcomes._replace(results=verifier.verify(_swapped(outcomes.results, outcomes.records)))
        verdicts = map(_verdict_fields, outcomes.results)
        samples = [sample | verdict for sample, verdict in zip(unverified, verdicts, strict=True)]
        return self.result(samples, LABELS, outcomes, identity)


def _swapped(answers: Sequence[Answer], records: Sequence[QARecord]) -> list[Answer]:
    """The answers, with their passages replaced by another record's abstract."""
    return [
        answer.model_copy(update={"passages": (Passage(id=other.id, text=other.context),)})
        for answer, other in zip(answers, wrong_contexts(records), strict=True)
    ]


def _verdict_fields(answer: Answer) -> dict[str, Any]:
    verification = answer.verification
    return {
        "verdict": answer.verdict,
        "verdict_scores": verification.scores if verification else {},
        "verified_against": verification.passage_id if verification else None,
        "statement": verification.statement if verification else None,
        "sentence": verification.sentence.model_dump() if verification and verification.sentence else None,
    }
