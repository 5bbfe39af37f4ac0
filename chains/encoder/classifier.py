"""Sequence classifiers of text pairs as NLI models, and as chains that answer a question from the text given with it.

Any ``AutoModelForSequenceClassification`` works, from ``medground train encoder`` or the hub.
"""

from collections.abc import Sequence

from chains.answer import Answer, Passage
from chains.citations import best_per_passage, cite
from chains.config import DType
from chains.encoder.sequence import SequenceClassifier, load_sequence_classifier
from chains.nli import Judgement, NLIModel, Pair, decisiveness
from chains.qa.base import AnswerChain, Question
from common.errors import UserError
from common.result_cache import CachedResult, ResultCache
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
        judged: dict[int, Judgement | UserError] = {}
        parts: list[tuple[int, Pair, dict[str, list[int]]]] = []  # index of the pair, its part and the part's encoding
        for index, (pair, whole) in enumerate(zip(cleaned, texts.encode(cleaned), strict=True)):
            if texts.fits(whole):
                parts.append((index, pair, whole))
                continue
            try:
                split = texts.parts(pair)
            except UserError as error:
                judged[index] = error
            else:
                parts += [(index, *part) for part in zip(split, texts.encode(split), strict=True)]
        by_pair: dict[int, list[tuple[CachedResult, Pair]]] = {}
        results = self._classifier.results([encoded for _, _, encoded in parts])
        for (index, part, _), result in zip(parts, results, strict=True):
            by_pair.setdefault(index, []).append((result, part))
        for index, of_pair in by_pair.items():
            deciding, part = max(of_pair, key=lambda one: decisiveness(None, one[0].value))
            scores = deciding.value
            split_note = f"premise judged in {len(of_pair)} parts to fit the model's window"
            judged[index] = Judgement(
                label=max(scores, key=scores.__getitem__),
                label_scores=scores,
                prompt="\n\n".join(part),
                notes=(split_note,) if len(of_pair) > 1 else (),
                reused=all(result.reused for result, _ in of_pair),
            )
        return [judged[index] for index in range(len(pairs))]


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
        texts = self._classifier.texts
        answers: dict[int, Answer | UserError] = {}
        fitted: list[tuple[int, Pair, Span]] = []  # index of the question, its pair, span of the context in the pair
        for index, question in enumerate(questions):
            if question.context is None or not question.context.strip():
                answers[index] = UserError(
                    "A classifier answers from the text that comes with the question. "
                    'Give {"question": ..., "context": ...}.'
                )
                continue
            pair = texts.clean(question.text).strip(), texts.clean(question.context)
            try:
                span = (0, len(pair[1])) if texts.fits(texts.encode([pair])[0]) else texts.fit(pair, 1)
            except UserError as error:
                answers[index] = error
                continue
            fitted.append((index, (pair[0], pair[1][slice(*span)]), span))
        probabilities = self._classifier.probabilities(texts.encode([pair for _, pair, _ in fitted]))
        for (index, pair, span), scores in zip(fitted, probabilities, strict=True):
            answers[index] = self._answer(questions[index], pair, span, scores)
        return [answers[index] for index in range(len(questions))]

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
