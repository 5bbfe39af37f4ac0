"""Written answers, scored by whether the cited passages support the sentences."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from chains.answer import Answer, Sentence
from chains.chat.writer import apply_policy
from chains.marks import without_marks
from chains.nli import Judgement, NLIModel
from chains.verification.sentences import is_refusal, statement_of
from chains.verification.verdicts import most_probable, verdict_scores
from common.fingerprints import content_key
from corpus.records import QARecord
from eval.results import TaskResult
from eval.stats.citations import (
    CitationScore,
    CitedSentence,
    Entails,
    citation_precision,
    citation_recall,
    rouge_l,
    score_citations,
)
from eval.tasks.base import WRITTEN, QAChain, Resources, Section, Task
from eval.tasks.qa import QATask
from eval.tasks.scorers import CITATIONS, Scorer


class AnswersTask(QATask):
    """Writes an answer to each record's question and scores its sentences and citations.

    The contexts ``gold`` and ``retrieved`` are those of ``QATask``; records need no label. With ``pruned``, sentences
    without support are removed before scoring, as by ``chain.verify: prune``; if none remain, the answer is withheld.

    Citation recall and precision (``stats.citations``) count the citations that the model wrote; ``attributed_recall``
    also counts citations that were attributed afterwards. ``sentence_support`` and ``sentence_contradicted`` are shares
    of the sentences that claim something, by the verdicts of ``SentenceVerifier``. The reference is the record's
    conclusion (PubMedQA's ``LONG_ANSWER``), if it has one: ``rouge_l`` compares the answer with the reference,
    ``entails_reference`` says whether the answer entails it, and ``entailed_by_reference`` the reverse.
    """

    kind: ClassVar[str] = "answers"
    section: ClassVar[Section] = WRITTEN
    chunk: ClassVar[int] = 4

    context: Literal["gold", "retrieved"]
    pruned: bool = False

    agrees_with = Task.agrees_with  # samples do not show the prompt that the text was written from

    @property
    def _name_parts(self) -> tuple[str | None, ...]:
        return *super()._name_parts, "pruned" if self.pruned else None

    @property
    def scorer(self) -> Scorer:
        """The scorer of citations."""
        return CITATIONS

    def title(self, config: Mapping[str, Any]) -> str:
        """The context and retriever or variant, and whether answers are pruned."""
        return f"{super().title(config)}{', pruned' if self.pruned else ''}"

    def targets(self, records: Sequence[QARecord]) -> list[str]:
        """The label of each record; empty for a record without label."""
        return [record.label or "" for record in records]

    def run(self, resources: Resources) -> TaskResult:
        """Measure the model, the retriever and the judge of the settings."""
        judge = resources.judge()
        chain = resources.written_chain(self.context, self.retriever)
        return self.evaluate_written(
            chain.model,
            judge.model,
            resources.records(self.variant),
            identity={**chain.identity, **judge.identity},
            quiet=resources.quiet,
        )

    def evaluate_written(
        self,
        chain: QAChain,
        judge: NLIModel,
        records: Sequence[QARecord],
        *,
        identity: Mapping[str, Any],
        quiet: bool = False,
    ) -> TaskResult:
        """Write all answers and score them.

        The answers of ``chain`` must have verdicts on their sentences and must not be withheld
        (``Resources.written_chain``). ``judge`` decides entailment for recall, precision and the reference.
        ``identity`` is everything besides the prompts that determines the answers.

        Raises:
            UserError: as ``QATask.evaluate``.
        """
        outcomes = self.answers(chain, records, quiet=quiet)
        answers = [apply_policy(answer, "prune") if self.pruned else answer for answer in outcomes.results]
        label_samples = self.samples(outcomes.records, answers, identity)
        metrics = _answer_metrics(outcomes.records, answers, judge)
        samples = [
            {
                **sample,
                **answer_metrics,
                "output": answer.text,
                "key": content_key(answer=sample["key"], text=answer.text, pruned=self.pruned),
            }
            for sample, answer_metrics, answer in zip(label_samples, metrics, answers, strict=True)
        ]
        return self.result(samples, (), outcomes, identity)


def _answer_metrics(records: Sequence[QARecord], answers: Sequence[Answer], judge: NLIModel) -> list[dict[str, Any]]:
    """For each answer, fields of its sample: the values of the metrics, and the removed and the judged sentences."""

    def entails(pairs: Sequence[tuple[str, str]]) -> list[bool]:
        judgements = judge.judge(pairs) if pairs else []
        return [isinstance(j, Judgement) and most_probable(verdict_scores(j)) == "supported" for j in judgements]

    written_scores = _scores(answers, entails, with_attributed=False)
    attributed_scores = _scores(answers, entails, with_attributed=True)
    texts = [
        " ".join(without_marks(answer.text, len(answer.passages)).split()) if answer.sentences else ""
        for answer in answers
    ]
    compared = [index for index, text in enumerate(texts) if text and records[index].conclusion]  # have a reference
    pairs = [(texts[index], records[index].conclusion) for index in compared]
    entails_reference = dict(zip(compared, entails(pairs), strict=True))
    entailed_by_reference = dict(zip(compared, entails([(b, a) for a, b in pairs]), strict=True))
    fields = []
    for index, (record, answer) in enumerate(zip(records, answers, strict=True)):
        text, scores = texts[index], written_scores[index]
        verdicts = [sentence.verdict for sentence in answer.sentences if sentence.verdict is not None]
        fields.append(
            {
                "citation_recall": citation_recall(scores),
                "citation_precision": citation_precision(scores),
                "attributed_recall": citation_recall(attributed_scores[index]),
                "sentence_support": verdicts.count("supported") / len(verdicts) if verdicts else None,
                "sentence_contradicted": verdicts.count("contradicted") / len(verdicts) if verdicts else None,
                "rouge_l": rouge_l(record.conclusion, text) if index in entails_reference else None,
                "entails_reference": entails_reference.get(index),
                "entailed_by_reference": entailed_by_reference.get(index),
                "refused": bool(answer.sentences) and all(is_refusal(sentence.text) for sentence in answer.sentences),
                "withheld": answer.withheld is not None,
                "words": len(text.split()),
                "sentences": len(answer.sentences),
                "removed": [sentence.text for sentence in answer.removed],
                "judged": [
                    _sentence_fields(sentence, score) for sentence, score in zip(answer.sentences, scores, strict=True)
                ],
            }
        )
    return fields


def _scores(answers: Sequence[Answer], entails: Entails, *, with_attributed: bool) -> list[list[CitationScore]]:
    """The citation scores of each answer's sentences; attributed citations count only if ``with_attributed``."""
    sentences = []
    for answer in answers:
        for sentence in answer.sentences:
            citations = sentence.citations if with_attributed or not sentence.attributed else ()
            passages = tuple(answer.passages[number - 1].text for number in citations)
            sentences.append(CitedSentence(statement_of(sentence, answer), passages))
    scores = iter(score_citations(sentences, entails))
    return [[next(scores) for _ in answer.sentences] for answer in answers]


def _sentence_fields(sentence: Sentence, score: CitationScore) -> dict[str, Any]:
    verification = sentence.verification
    return {
        "text": sentence.text,
        "citations": list(sentence.citations),
        "attributed": sentence.attributed,
        "verdict": sentence.verdict,
        "evidence": verification.sentence.quote if verification and verification.sentence else None,
        "supported": score.is_supported,
        "precise": score.precise,
    }
