"""Written answers: do the cited passages support the sentences?"""

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
    citation_precision,
    citation_recall,
    rouge_l,
    score_citations,
)
from eval.tasks.base import WRITTEN, QAChain, Resources, Section
from eval.tasks.qa import QATask
from eval.tasks.scorers import CITATIONS, Scorer


class AnswersTask(QATask):
    """Writes an answer to each record's question and scores its sentences and citations.

    The contexts are ``gold`` and ``retrieved``, as of ``QATask``; records need no label. With ``pruned`` the sentences
    without support are removed first, as ``chain.verify: prune`` does, and an answer without any other is withheld.

    Citation recall and precision (``stats.citations``) count the marks that the model wrote; ``attributed_recall``
    counts citations that were attributed afterwards, too. ``sentence_support`` and ``sentence_contradicted`` are shares
    of the sentences that claim something, by the verdicts of ``SentenceVerifier``. Where a record has a conclusion
    (PubMedQA's ``LONG_ANSWER``), ``rouge_l`` compares the text with it, and ``entails_reference`` and
    ``entailed_by_reference`` say whether one entails the other.
    """

    kind: ClassVar[str] = "answers"
    section: ClassVar[Section] = WRITTEN
    chunk: ClassVar[int] = 4

    context: Literal["gold", "retrieved"]
    pruned: bool = False

    @property
    def _parts(self) -> tuple[str | None, ...]:
        return *super()._parts, "pruned" if self.pruned else None

    @property
    def scorer(self) -> Scorer:
        """Citations."""
        return CITATIONS

    @property
    def answers_own_records(self) -> bool:
        """False: a written answer is not exported as a prediction."""
        return False

    def title(self, config: Mapping[str, Any]) -> str:
        """What the model reads, and whether its text was pruned."""
        return f"{super().title(config)}{', pruned' if self.pruned else ''}"

    def targets(self, records: Sequence[QARecord]) -> list[str]:
        """The label of each record; empty where it has none."""
        return [record.label or "" for record in records]

    def run(self, resources: Resources) -> TaskResult:
        """Measure the model, the retriever and the judge of the settings."""
        judge = resources.judge()
        written = resources.written_chain(self.context, self.retriever)
        return self.evaluate_written(
            written.model,
            judge.model,
            resources.records(self.variant),
            identity={**written.identity, **judge.identity},
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

        The chain writes answers with verdicts on their sentences and withholds none. The judge decides entailment for
        recall, precision and the reference. ``identity`` determines the answers besides the prompts.

        Raises:
            UserError: see ``QATask.evaluate``.
        """
        kept = self.answers(chain, records, quiet=quiet)
        given = [apply_policy(answer, "prune") if self.pruned else answer for answer in kept.results]
        scored = self.samples(kept.records, given, identity)
        samples = [
            {
                **sample,
                **measures,
                "output": answer.text,
                "key": content_key(answer=sample["key"], text=answer.text, pruned=self.pruned),
            }
            for sample, measures, answer in zip(scored, _measures(kept.records, given, judge), given, strict=True)
        ]
        return self.result(samples, (), kept, identity)


def _measures(records: Sequence[QARecord], answers: Sequence[Answer], judge: NLIModel) -> list[dict[str, Any]]:
    """What the figures of each answer are computed from."""

    def entails(pairs: Sequence[tuple[str, str]]) -> list[bool]:
        judged = judge.judge(pairs) if pairs else []
        return [isinstance(one, Judgement) and most_probable(verdict_scores(one)) == "supported" for one in judged]

    marked = _scores(answers, entails, attributed=False)
    attributed = _scores(answers, entails, attributed=True)
    texts = [" ".join(without_marks(one.text, len(one.passages)).split()) if one.sentences else "" for one in answers]
    compared = [place for place, text in enumerate(texts) if text and records[place].conclusion]
    forward = entails([(texts[place], records[place].conclusion) for place in compared])
    backward = entails([(records[place].conclusion, texts[place]) for place in compared])
    ways = {place: both for place, *both in zip(compared, forward, backward, strict=True)}
    measures = []
    for place, (record, answer) in enumerate(zip(records, answers, strict=True)):
        verdicts = [one.verdict for one in answer.sentences if one.verdict is not None]
        wanted, implied = ways.get(place, (None, None))
        measures.append(
            {
                "citation_recall": citation_recall(marked[place]),
                "citation_precision": citation_precision(marked[place]),
                "attributed_recall": citation_recall(attributed[place]),
                "sentence_support": verdicts.count("supported") / len(verdicts) if verdicts else None,
                "sentence_contradicted": verdicts.count("contradicted") / len(verdicts) if verdicts else None,
                "rouge_l": rouge_l(record.conclusion, texts[place]) if place in ways else None,
                "entails_reference": wanted,
                "entailed_by_reference": implied,
                "refused": bool(answer.sentences) and all(is_refusal(one.text) for one in answer.sentences),
                "withheld": answer.withheld is not None,
                "words": len(texts[place].split()),
                "sentences": len(answer.sentences),
                "removed": [one.text for one in answer.removed],
                "judged": [_sentence(one, score) for one, score in zip(answer.sentences, marked[place], strict=True)],
            }
        )
    return measures


def _scores(answers: Sequence[Answer], entails: Any, *, attributed: bool) -> list[list[CitationScore]]:
    """The scores of each answer's sentences, with or without attributed citations."""
    cited = [
        CitedSentence(
            statement_of(one, answer),
            tuple(answer.passages[number - 1].text for number in one.citations)
            if attributed or not one.attributed
            else (),
        )
        for answer in answers
        for one in answer.sentences
    ]
    scores = iter(score_citations(cited, entails))
    return [[next(scores) for _ in answer.sentences] for answer in answers]


def _sentence(one: Sentence, score: CitationScore) -> dict[str, Any]:
    return {
        "text": one.text,
        "citations": list(one.citations),
        "attributed": one.attributed,
        "verdict": one.verdict,
        "evidence": one.verification.sentence.quote if one.verification and one.verification.sentence else None,
        "supported": score.is_supported,
        "precise": score.precise,
    }
