"""Verification of answers."""

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

    The contexts are those of ``QATask`` (``verified_gold`` and so on) and ``swapped``: answered from the record's
    abstract, verified against another's. No answer of ``wrong`` and ``swapped`` should be supported; ``swapped``
    measures the verifier alone, since the answering model cannot notice the wrong abstract.

    A sample adds ``verdict``, ``verdict_scores``, ``statement``, ``verified_against`` (the id of the deciding passage)
    and ``sentence`` (its deciding sentence, or None). The metrics are those of ``stats.verification``.
    """

    kind: ClassVar[str] = "verified"
    section: ClassVar[Section] = VERIFICATION

    context: Literal["none", "gold", "retrieved", "wrong", "swapped"]  # type: ignore[assignment]

    @property
    def scorer(self) -> Scorer:
        """Verdicts; the share of supported ones if none should be."""
        return UNSUPPORTABLE if self.context in ("wrong", "swapped") else VERDICTS

    @property
    def answers_own_records(self) -> bool:
        """False: verified answers are not exported."""
        return False

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

        The chain verifies and returns every answer (policy report or retry); for ``swapped`` it does not verify, and
        ``verifier`` does. ``identity`` determines answers and verdicts besides the prompt, the NLI model included.

        Raises:
            UserError: see ``QATask.evaluate``; or the chain abstains.
            ValueError: ``verifier`` is missing for ``swapped``, or given for another context.
        """
        if (verifier is None) == (self.context == "swapped"):
            raise ValueError("a verifier belongs to the context swapped, and to no other")
        kept = self.answers(chain, records, quiet=quiet)
        if any(answer.withheld for answer in kept.results):
            raise UserError(
                f"{self.name}: the chain withheld answers, which cannot be scored. Set chain.verify to report or retry."
            )
        answered = self.samples(kept.records, kept.results, identity)
        if verifier is not None:
            kept = kept._replace(results=verifier.verify(_swapped(kept.results, kept.records)))
        samples = [{**sample, **_verdict(answer)} for sample, answer in zip(answered, kept.results, strict=True)]
        return self.result(samples, LABELS, kept, identity)


def _swapped(answers: Sequence[Answer], records: Sequence[QARecord]) -> list[Answer]:
    """The answers with another record's abstract in place of their passages."""
    return [
        answer.model_copy(update={"passages": (Passage(id=other.id, text=other.context),)})
        for answer, other in zip(answers, wrong_contexts(records), strict=True)
    ]


def _verdict(answer: Answer) -> dict[str, Any]:
    judged = answer.verification
    return {
        "verdict": answer.verdict,
        "verdict_scores": judged.scores if judged else {},
        "verified_against": judged.passage_id if judged else None,
        "statement": judged.statement if judged else None,
        "sentence": judged.sentence.model_dump() if judged and judged.sentence else None,
    }
