"""Question answering with a language model: retriever, prompt, model and label parser, with citations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langchain_core.runnables import Runnable

from chains.answer import Answer, Passage
from chains.citations import asks_for_fact, best_per_passage, cite, notices
from chains.config import Context, Decide, Evidence, Family, check_choices
from chains.labels import Case, Decider, Decision
from chains.models.base import LLM, as_llm
from chains.models.reasoning import answer_text
from chains.prompts import qa_template
from chains.qa.base import AnswerChain, Question, check_retriever, retrieve, search_text, truncation_notes
from chains.qa.summaries import Summarizer
from chains.qa.truncation import FittedPrompt, PromptFitter
from common.errors import UserError
from corpus.records import LABELS
from retrievers.base import check_count

_PASSAGE_SEPARATOR = "\n\n"


def qa_chain(
    llm: LLM | Runnable[Any, Any],
    retriever: Runnable[str, list[Document]] | None = None,
    *,
    context: Context = "retrieved",
    decide: Decide = "score",
    passages: int = 1,
    prompt_family: Family = "auto",
    system: str | None = None,
    open_questions: bool = False,
    evidence: Evidence = "passages",
) -> "QAChain":
    """A chain that answers questions with yes, no or maybe.

    Args:
        llm: any LangChain chat model or LLM, or a model of ``chains.models.make_llm``. If the model is not a
            ``LabelScorer``, such as a LangChain model, labels are parsed from generated text, with a note.
        retriever: any LangChain retriever; required for ``context="retrieved"``.
        context: what the model reads: ``retrieved`` passages, the ``gold`` text that is the input's "context", or no
            text (``none``).
        decide: ``score`` takes the most probable label after the prompt, ``generate`` parses the label from generated
            text.
        passages: number of retrieved passages in the prompt.
        prompt_family: the wording of the prompt; ``auto`` is decided by the model.
        system: a system message; by default the model's setting.
        open_questions: if true, a question for a fact (how many, which, when) gets passages and citations, but no label
            and no text. Another chain then writes the answer.
        evidence: what the model reads of the retrieved passages: the ``passages`` themselves, or ``summaries`` that it
            has written of them (``summaries.Summarizer``).

    Raises:
        UserError: ``context="retrieved"`` has no retriever, ``passages`` is not a whole number of at least 1, or
            another argument has a wrong value or type.
    """
    model = as_llm(llm)
    check_choices(context=(context, Context), decide=(decide, Decide))
    check_choices(prompt_family=(prompt_family, Family), evidence=(evidence, Evidence))
    if retriever is not None:
        check_retriever(retriever)
    elif context == "retrieved":
        raise UserError('Retrieved context needs a retriever. Give one, or set the context to "gold" or "none".')
    check_count(passages, "passages")
    family, system = model.family(prompt_family), model.config.system if system is None else system
    decider = Decider(model, qa_template(family, system), LABELS, decide)
    fitter = PromptFitter(model, family, system, reserve=decider.reserve)
    summarizer = Summarizer(model, system) if evidence == "summaries" and context == "retrieved" else None
    return QAChain(retriever, context, passages, open_questions, decider, fitter, summarizer)


@dataclass(eq=False)
class QAChain(AnswerChain):
    """A chain made by ``qa_chain``."""

    retriever: Runnable[str, list[Document]] | None
    context: Context
    passages: int
    open_questions: bool
    decider: Decider
    fitter: PromptFitter
    summarizer: Summarizer | None

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Retrieve for all questions, render all prompts, and run the model on all in batches of similar length."""
        answers: dict[int, Answer | UserError] = {}
        to_label: list[tuple[int, list[Passage]]] = []
        for index, passages in enumerate(self._find(questions)):
            if isinstance(passages, UserError):
                answers[index] = passages
            elif self.open_questions and passages and asks_for_fact(questions[index].text):
                answers[index] = self._evidence(questions[index].text, passages)
            else:
                to_label.append((index, passages))
        to_decide: list[tuple[int, list[Passage], FittedPrompt]] = []
        results = self.fitter.fit([(questions[index].text, _context(passages)) for index, passages in to_label])
        for (index, passages), result in zip(to_label, results, strict=True):
            if isinstance(result, UserError):
                answers[index] = result
            else:
                to_decide.append((index, passages, result))
        cases = [Case(fitted.prompt, fitted.inputs, questions[index].config) for index, _, fitted in to_decide]
        decisions = self.decider.decide(cases)
        for (index, passages, fitted), decision in zip(to_decide, decisions, strict=True):
            if isinstance(decision, UserError):
                answers[index] = decision
            else:
                answers[index] = self._answer(questions[index].text, passages, fitted, decision)
        return [answers[index] for index in range(len(questions))]

    def _find(self, questions: Sequence[Question]) -> Sequence[list[Passage] | UserError]:
        """The passages for each question, or the error if its gold text is missing."""
        if self.context == "none":
            return [[] for _ in questions]
        if self.context == "gold":
            return [_gold(question) for question in questions]
        assert self.retriever is not None  # checked by qa_chain
        found = retrieve(self.retriever, questions, self.passages)
        if self.summarizer is None:
            return found
        return self.summarizer.summarize([question.text for question in questions], found)

    def _evidence(self, question: str, passages: Sequence[Passage], context_characters: int | None = None) -> Answer:
        """An answer without a text: passages, and citations from the first ``context_characters`` of the context."""
        searched = search_text(self.retriever, question) if self.context == "retrieved" else question
        return Answer(
            question=question,
            text="",
            citations=best_per_passage(
                cite(searched, passages if context_characters is None else _truncated(passages, context_characters))
            ),
            passages=tuple(passages),
            notes=(*_summary_notes(passages), *notices(passages), *truncation_notes(question, searched)),
        )

    def _answer(self, question: str, passages: list[Passage], fitted: FittedPrompt, decision: Decision) -> Answer:
        notes = [self.fitter.note(fitted.dropped_sentences)] if fitted.dropped_sentences else []
        if self.context == "retrieved" and not passages:
            notes.append("no passage was found: answered without a text")
        evidence = self._evidence(question, passages, fitted.context_characters)
        text = decision.label if decision.output is None else answer_text(decision.output) or decision.output
        return evidence.model_copy(
            update={
                "text": (text or "").strip(),
                "label": decision.label,
                "label_scores": decision.scores,
                "prompt": fitted.prompt[0],
                "output": decision.output,
                "notes": (*notes, *evidence.notes, *decision.notes),
                "reused": decision.reused,
            }
        )


def _context(passages: Sequence[Passage]) -> str | None:
    return _PASSAGE_SEPARATOR.join(passage.text_for_model for passage in passages) if passages else None


def _gold(question: Question) -> list[Passage] | UserError:
    if question.context is None or not question.context.strip():
        return UserError(
            'The context is gold, but the question has no text. Give {"question": ..., "context": ...}, '
            "or set chain.context to retrieved or none."
        )
    return [Passage(id=question.passage_id or "context", text=question.context)]


def _summary_notes(passages: Sequence[Passage]) -> list[str]:
    count = sum(one.summary is not None for one in passages)
    return [f"the model read {count} of {len(passages)} passages as summaries that it wrote itself"] if count else []


def _truncated(passages: Sequence[Passage], characters: int) -> list[Passage]:
    """The passages, cut to the first ``characters`` of the joined context.

    A summarized passage keeps its whole text, since the context contains its summary.
    """
    truncated = []
    for passage in passages:
        if characters <= 0:
            break
        is_whole = passage.summary is not None or characters >= len(passage.text)
        truncated.append(passage if is_whole else passage.model_copy(update={"text": passage.text[:characters]}))
        characters -= len(passage.text_for_model) + len(_PASSAGE_SEPARATOR)
    return truncated
