"""Sequence classifiers of text pairs as NLI models, and as chains that answer a question from the text given with it.

Any ``AutoModelForSequenceClassification`` works, from ``medground train encoder`` or the hub.
"""

from collections.abc import Sequence

from chains.answer import Answer, Passage
from chains.citations import best_per_passage, cite
from chains.config import DType
from chains.encoder.pair_texts import Encoded
from chains.encoder.sequence import SequenceClassifier, load_sequence_classifier
from chains.models.one_pass import apply_to_valid
from chains.nli import Judgement, NLIModel, Pair, judge_in_parts
from chains.qa.base import AnswerChain, Question
from common.errors import UserError
from common.result_cache import ResultCache
from corpus.records import LABELS
from corpus.sentences import Span


def load_classifier(
    model: str,
    *,
    dtype: DType = "auto",
    device: str = "auto",
    batch_tokens: int = 4096,
    cache: ResultCache | None = None,
) -> "EncoderNLI":
    """The sequence classifier ``model``, a folder or a hub id, as an NLI model.

    ``dtype`` auto is resolved as for ``llm.dtype``; ``device`` is auto or a torch device; a batch has at most
    ``batch_tokens`` tokens with padding; ``cache`` stores the results.

    Raises:
        UserError: the model cannot be loaded (absent, gated, offline, damaged), is not a sequence classifier, or has
            fewer than two labels; or the device does not exist.
    """
    return EncoderNLI(load_sequence_classifier(model, dtype, device, batch_tokens, cache))


def classifier_chain(
    model: str, *, dtype: DType = "auto", device: str = "auto", batch_tokens: int = 4096
) -> "ClassifierChain":
    """A chain that answers a question from the context given with it; ``model`` classifies (question, context) pairs.

    Raises:
        UserError: the model cannot be loaded (see ``load_classifier``), or one of its labels is not yes, no or maybe.
    """
    return ClassifierChain(load_sequence_classifier(model, dtype, device, batch_tokens))


class EncoderNLI(NLIModel):
    """An NLI model made by ``load_classifier``. Premises longer than the window are classified in parts."""

    def __init__(self, classifier: SequenceClassifier) -> None:
        self.labels = classifier.labels
        self._classifier = classifier

    @property
    def fingerprint(self) -> str:
        """The classifier's fingerprint; empty if it has no cache."""
        return self._classifier.fingerprint

    def judge(self, pairs: Sequence[Pair]) -> list[Judgement | UserError]:
        """Split long premises, classify all parts, and take the deciding part of each pair."""
        texts = self._classifier.texts
        cleaned = [(texts.clean(premise).strip(), texts.clean(hypothesis).strip()) for premise, hypothesis in pairs]
        encoded = list(zip(cleaned, texts.encode(cleaned), strict=True))
        return judge_in_parts(encoded, self._parts, self._judge_parts)

    def _parts(self, whole: tuple[Pair, Encoded]) -> list[tuple[Pair, Encoded]]:
        texts, (pair, encoded) = self._classifier.texts, whole
        if texts.fits(encoded):
            return [whole]
        parts = texts.parts(pair)
        return list(zip(parts, texts.encode(parts), strict=True))

    def _judge_parts(self, parts: Sequence[tuple[Pair, Encoded]]) -> list[Judgement | UserError]:
        results = self._classifier.results([encoded for _, encoded in parts])
        return [
            Judgement(
                label=max(result.value, key=result.value.__getitem__),
                label_scores=result.value,
                prompt="\n\n".join(pair),
                reused=result.reused,
            )
            for (pair, _), result in zip(parts, results, strict=True)
        ]


class ClassifierChain(AnswerChain):
    """A chain made by ``classifier_chain``; a context longer than the window is truncated, with a note."""

    def __init__(self, classifier: SequenceClassifier) -> None:
        if unknown := [label for label in classifier.labels if label not in LABELS]:
            raise UserError(
                f"Model {classifier.name} cannot answer questions: it has the label {unknown[0]}, and answers are "
                f"{', '.join(LABELS)}. Choose a model that was trained for them (train.encoder.task: qa)."
            )
        self._classifier = classifier

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Truncate all contexts to the window, then classify the pairs in batches of similar length."""
        return apply_to_valid([self._fitted(question) for question in questions], self._classify)

    def _fitted(self, question: Question) -> tuple[Question, Pair, Span] | UserError:
        """The question, its pair of texts with the context truncated, and the span of the context that is left."""
        if question.context is None or not question.context.strip():
            return UserError(
                "A classifier answers from the text that comes with the question. "
                'Give {"question": ..., "context": ...}.'
            )
        texts = self._classifier.texts
        text, context = texts.clean(question.text).strip(), texts.clean(question.context)
        try:
            whole = texts.fits(texts.encode([(text, context)])[0])
            span = (0, len(context)) if whole else texts.fit((text, context), 1)
        except UserError as error:
            return error
        return question, (text, context[slice(*span)]), span

    def _classify(self, fitted: Sequence[tuple[Question, Pair, Span]]) -> list[Answer]:
        probabilities = self._classifier.probabilities(self._classifier.texts.encode([pair for _, pair, _ in fitted]))
        return [self._answer(*one, scores) for one, scores in zip(fitted, probabilities, strict=True)]

    def _answer(self, question: Question, pair: Pair, span: Span, scores: dict[str, float]) -> Answer:
        text, (start, end) = question.context or "", span
        passage = Passage(id=question.passage_id or "context", text=text)
        label = max(scores, key=scores.__getitem__)
        citations = best_per_passage(cite(question.text, [passage.model_copy(update={"text": text[start:end]})]))
        shortened = f"context shortened to fit the model's window of {self._classifier.texts.window} tokens"
        return Answer(
            question=question.text,
            text=label,
            label=label,
            label_scores=scores,
            citations=tuple(
                one.model_copy(update={"start": one.start + start, "end": one.end + start}) for one in citations
            ),
            passages=(passage,),
            prompt="\n\n".join(pair),
            notes=(shortened,) if (text[:start] + text[end:]).strip() else (),
        )
