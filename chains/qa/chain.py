"""Question answering with a language model: retriever, prompt, model and label parser, with citations."""

from collections.abc import Sequence
from typing import Any, assert_never

from langchain_core.documents import Document
from langchain_core.runnables import Runnable

from chains.answer import Answer, Passage
from chains.citations import asks_for_fact, best_of_each, cite, notices
from chains.config import Context, Decide, Evidence, Family, check_choices
from chains.labels import Case, Decider, Decision
from chains.models.base import LLM, as_llm
from chains.prompts import qa_template
from chains.qa.base import AnswerChain, Question, check_retriever, retrieve, searched, shortening
from chains.qa.summaries import Summarizer
from chains.qa.truncation import Asked, FittedPrompt, PromptFitter
from common.errors import UserError
from corpus.records import LABELS

_JOIN = "\n\n"


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
        llm: any LangChain chat model or LLM, or a model of ``chains.models.make_llm``. Labels of a model that is no
            ``LabelScorer``, as LangChain's own are not, are read from its text, and a note says so.
        retriever: any LangChain retriever; needed for ``context="retrieved"``.
        context: what the model reads: ``retrieved`` passages, the ``gold`` text in the input's "context", or ``none``.
        decide: ``score`` takes the most probable label after the prompt, ``generate`` reads the label from generated
            text, which may name none.
        passages: how many retrieved passages go into the prompt.
        prompt_family: whose wording the prompt has; ``auto`` goes by the model.
        system: a system text; by default the model's own setting.
        open_questions: give questions for a fact (how many, which, when) their passages and citations without a label
            and a text, for a chain that writes the answer; only where passages are found.
        evidence: whether the model reads the retrieved ``passages`` or ``summaries`` that it writes of each first (see
            ``summaries.Summarizer``).

    Raises:
        UserError: ``context="retrieved"`` without a retriever, fewer than one passage, or an argument of another kind.
    """
    model = as_llm(llm)
    check_choices(
        context=(context, Context),
        decide=(decide, Decide),
        prompt_family=(prompt_family, Family),
        evidence=(evidence, Evidence),
    )
    if context == "retrieved" and retriever is None:
        raise UserError('Retrieved context needs a retriever. Give one, or set the context to "gold" or "none".')
    if retriever is not None:
        check_retriever(retriever)
    if passages < 1:
        raise UserError(f"An answer needs at least 1 passage; {passages} were asked for.")
    summarizer = None
    if evidence == "summaries" and context == "retrieved":
        summarizer = Summarizer(model, model.config.system if system is None else system)
    return QAChain(model, retriever, context, decide, passages, prompt_family, system, open_questions, summarizer)


class QAChain(AnswerChain):
    """See ``qa_chain``."""

    def __init__(
        self,
        llm: LLM,
        retriever: Runnable[str, list[Document]] | None,
        context: Context,
        decide: Decide,
        passages: int,
        prompt_family: Family,
        system: str | None,
        open_questions: bool,
        summarizer: Summarizer | None,
    ) -> None:
        self._llm = llm
        self._retriever = retriever
        self._context = context
        self._passages = passages
        self._open_questions = open_questions
        self._summarizer = summarizer
        family, system = llm.family(prompt_family), llm.config.system if system is None else system
        self._decider = Decider(llm, qa_template(family, system), LABELS, decide)
        self._fitter = PromptFitter(llm, family, system, reserve=self._decider.reserve)

    def answer_all(self, questions: Sequence[Question]) -> list[Answer | UserError]:
        """Retrieve for all questions, render all prompts, and run the model on all in batches of similar length."""
        answers: dict[int, Answer | UserError] = {}
        read: list[tuple[int, list[Passage]]] = []
        for index, passages in enumerate(self._find(questions)):
            if isinstance(passages, UserError):
                answers[index] = passages
            elif self._open_questions and passages and asks_for_fact(questions[index].text):
                answers[index] = self._evidence(questions[index].text, passages)
            else:
                read.append((index, passages))
        prompts: list[tuple[int, list[Passage], FittedPrompt]] = []
        fitted = self._fitter.fit([self._ask(questions[index], passages) for index, passages in read])
        for (index, passages), prompt in zip(read, fitted, strict=True):
            if isinstance(prompt, UserError):
                answers[index] = prompt
            else:
                prompts.append((index, passages, prompt))
        decisions = self._decider.decide(
            [
                Case(
                    one.prompt, {"question": one.asked.question, "context": one.asked.context}, questions[index].config
                )
                for index, _, one in prompts
            ]
        )
        for (index, passages, prompt), decision in zip(prompts, decisions, strict=True):
            if isinstance(decision, UserError):
                answers[index] = decision
            else:
                answers[index] = self._answer(questions[index].text, passages, prompt, decision)
        return [answers[index] for index in range(len(questions))]

    def _find(self, questions: Sequence[Question]) -> Sequence[list[Passage] | UserError]:
        match self._context:
            case "none":
                return [[] for _ in questions]
            case "gold":
                return [_gold(question) for question in questions]
            case "retrieved":
                assert self._retriever is not None  # qa_chain has seen to it
                found = retrieve(self._retriever, questions, self._passages)
                if self._summarizer is None:
                    return found
                return self._summarizer.summarize([question.text for question in questions], found)
        assert_never(self._context)

    def _ask(self, question: Question, passages: list[Passage]) -> Asked:
        context = self._fitter.clean(_JOIN.join(passage.read for passage in passages)) if passages else None
        return Asked(self._fitter.clean(question.text).strip(), context)

    def _evidence(self, question: str, passages: Sequence[Passage], kept: int | None = None) -> Answer:
        """An answer without a text: the passages, and citations from their first ``kept`` characters."""
        read = searched(self._retriever, question) if self._context == "retrieved" else question
        return Answer(
            question=question,
            text="",
            citations=best_of_each(cite(read, passages if kept is None else _as_read(passages, kept))),
            passages=tuple(passages),
            notes=(*_summarized(passages), *notices(passages), *shortening(question, read)),
        )

    def _answer(self, question: str, passages: list[Passage], prompt: FittedPrompt, decision: Decision) -> Answer:
        notes = [self._fitter.note(prompt.dropped)] if prompt.dropped else []
        if self._context == "retrieved" and not passages:
            notes.append("no passage was found: answered without a text")
        evidence = self._evidence(question, passages, prompt.kept)
        return evidence.model_copy(
            update={
                "text": (decision.output or decision.label or "").strip(),
                "label": decision.label,
                "label_scores": decision.scores,
                "prompt": prompt.prompt[0],
                "output": decision.output,
                "notes": (*notes, *evidence.notes, *decision.notes),
                "reused": decision.reused,
            }
        )


def _gold(question: Question) -> list[Passage] | UserError:
    if question.context is None or not question.context.strip():
        return UserError(
            'Gold context was chosen, but the question came without its text. Give {"question": ..., "context": ...}, '
            "or set chain.context to retrieved or none."
        )
    return [Passage(id=question.passage_id or "context", text=question.context)]


def _summarized(passages: Sequence[Passage]) -> list[str]:
    count = sum(one.summary is not None for one in passages)
    return [f"the model read {count} of {len(passages)} passages as summaries that it wrote itself"] if count else []


def _as_read(passages: Sequence[Passage], kept: int) -> list[Passage]:
    """The passages cut to the first ``kept`` characters of what the model was given; those read as summaries whole."""
    read = []
    for passage in passages:
        if kept <= 0:
            break
        is_whole = passage.summary is not None or kept >= len(passage.text)
        read.append(passage if is_whole else passage.model_copy(update={"text": passage.text[:kept]}))
        kept -= len(passage.read) + len(_JOIN)
    return read
