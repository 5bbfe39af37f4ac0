"""Pipeline: the chain, chat and agent of one ``Settings`` object over one corpus."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, assert_never

from common.errors import UserError
from medground.components import Components

if TYPE_CHECKING:
    from langchain_core.prompt_values import PromptValue

    from chains.agent.steps import Step
    from chains.answer import Answer
    from chains.chat import Chat
    from chains.chat.writer import Writer, WrittenAnswers
    from chains.config import Context, Verify
    from chains.models.base import LLM
    from chains.qa.base import AnswerChain
    from chains.rewriting.followups import QuestionRewriter
    from retrievers.base import Retriever

Item = TypeVar("Item")
Result = TypeVar("Result")

NO_SUMMARIES = (
    "chain.evidence is summaries, which a language model writes, and {why}. Set llm.model to another model, or "
    "chain.evidence to passages."
)
UNVERIFIED_NOTE = "not verified: the answer quotes its evidence and claims nothing beyond it"
REWRITTEN_TOKENS = 96  # maximum length of a follow-up question that the model rewrites


class Share(Protocol):
    """Decorator of a batch function that lets concurrent callers share batches."""

    def __call__(
        self, run: Callable[[Sequence[Item]], Sequence[Result]], /
    ) -> Callable[[Sequence[Item]], Sequence[Result]]:
        """Return a function with the same results as ``run``."""
        ...


def unshared(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Sequence[Item]], Sequence[Result]]:
    """``run`` itself: the ``Share`` of a pipeline with one caller at a time."""
    return run


class Pipeline(Components):
    """The chain, chat and agent of one ``Settings`` object over one corpus."""

    def chain(
        self,
        context: "Context | None" = None,
        *,
        retriever: str | None = None,
        verify: "Verify | None" = None,
        open_questions: bool = False,
    ) -> "AnswerChain":
        """The chain that answers single questions.

        Args:
            context: overrides ``chain.context``.
            retriever: overrides the setting ``retriever``.
            verify: overrides ``chain.verify``.
            open_questions: whether a writer answers questions that are not yes/no (``chains.qa.qa_chain``).
        """
        config = self.settings.chain
        context, verify = context or config.context, verify or config.verify
        if self.answers_are_quotes:
            if config.evidence == "summaries":
                raise UserError(NO_SUMMARIES.format(why="here passages are quoted without a language model"))
            from chains.qa.extractive import extractive_chain

            notes = () if verify == "off" else (UNVERIFIED_NOTE,)
            searched = self.retriever(retriever)
            bm25 = next((name for name, entry in self.settings.retrievers.items() if entry.kind == "bm25"), None)
            return extractive_chain(
                searched,
                embedder=self._quote_embedder(retriever or self.settings.retriever),
                passages=searched.top_k,
                max_sentences=config.max_sentences,
                notes=notes,
                frequencies=None if bm25 is None else self.retriever(bm25).frequencies,
                relevance=self._quote_relevance(),
            )
        from chains.verification.answers import verified_chain

        judge = None if verify == "off" else self._judge  # loaded first, since nli.adapter changes self.answering_model
        context_retriever = self.retriever(retriever) if context == "retrieved" else None
        chain = self._qa_chain(context_retriever, context, open_questions=open_questions)
        if judge is None:
            return chain
        wider = self._wider_chains(context_retriever, open_questions) if verify == "retry" else ()
        return verified_chain(chain, judge, verify=verify, wider=wider)

    def agent(self) -> "AnswerChain":
        """The agent of section ``agent``; it verifies its answers unless ``chain.verify`` is off.

        Raises:
            UserError: ``agent.kind`` is off, the settings do not allow an agent, the trace is not writable, or the
                model cannot call tools.
        """
        from chains.agent.grading import Grader, by_judge, by_labels
        from chains.agent.steps import trace_to
        from chains.verification.answers import Verifier

        self._check_model()
        config, passages = self.settings.agent, self.settings.chain.passages
        if config.kind == "off":
            raise UserError("There is no agent: agent.kind is off. Set it to graph or tools.")
        judge = None if self.settings.chain.verify == "off" else self._judge
        passage_scores = by_labels(self._qa_chain(None, "gold")) if judge is None else by_judge(judge)
        verify = None if judge is None else _single(Verifier(judge).verify)
        on_step: Callable[[Step], None] = trace_to(config.trace) if config.trace else lambda _: None
        grader, retriever = Grader(passage_scores, config.relevance), self.retriever()
        make_chain: Any = self._qa_chain
        common_arguments = (retriever, make_chain, grader, verify, config, on_step, passages)
        match config.kind:
            case "graph":
                from chains.agent.graph import GraphAgent

                return GraphAgent(*common_arguments, reword=self._query_rewriter())
            case "tools":
                from chains.agent.calling import ToolAgent

                llm = self.answering_model
                return ToolAgent(
                    *common_arguments,
                    model=llm.chat,
                    checker=None if judge is None else self.checker(with_note=False),
                    clean=llm.clean,
                    verify_sentences=None if judge is None else self._verified_sentences(),
                )
        assert_never(config.kind)

    def answerer(self) -> "AnswerChain":
        """The agent, or if ``agent.kind`` is off, the chain. Each answer has ``note`` among its notes.

        ``chat.answers`` sets the form of the answers.
        """
        from chains.qa.base import MappedChain

        written_answers = self.written_answers() if self._writes_sentences else None
        chain = self._answering_chain(written_answers)
        if written_answers is not None:
            chain = MappedChain(chain, written_answers.write_all)
        if (add_conflicts := self._conflict_finder()) is not None:
            chain = MappedChain(chain, add_conflicts)
        if (note := self.note) is not None:
            chain = MappedChain(chain, lambda answers: [answer.noted(note) for answer in answers])
        return chain

    def written_answers(
        self, share: Share = unshared, *, retriever: str | None = None, verify: "Verify | None" = None
    ) -> "WrittenAnswers":
        """The writer of answers in sentences, with the verification that ``chain.verify`` names.

        Args:
            share: applied to the judge's batch function.
            retriever: overrides the setting ``retriever``.
            verify: overrides ``chain.verify``.
        """
        from chains.chat.writer import WrittenAnswers

        verify = verify or self.settings.chain.verify
        verifier = None if verify == "off" else self._sentence_verifier(share)
        searched = self.retriever(retriever) if self.settings.chain.context == "retrieved" else None
        embedder = self._embedder(retriever or self.settings.retriever) if verifier is None and searched else None
        wider = self._wider_chains(searched, open_questions=True) if verify == "retry" else ()
        return WrittenAnswers(self._writer(), verifier, verify, wider=wider, embedder=embedder)

    def _answering_chain(self, written_answers: "WrittenAnswers | None", *, verify: bool = True) -> "AnswerChain":
        """The agent or the chain.

        Args:
            written_answers: rewrites the answers afterwards. With ``chain.verify: prune``, it withholds answers and the
                chain does not.
            verify: False switches the chain's verification off. An agent always verifies as ``chain.verify`` says.
        """
        if self.settings.agent.kind != "off":
            return self.agent()
        policy: Verify | None = None if verify else "off"
        if verify and written_answers is not None and self.settings.chain.verify == "prune":
            policy = "report"
        return self.chain(verify=policy, open_questions=written_answers is not None)

    def _sentence_verifier(self, share: Share = unshared) -> "Callable[[Answer], Answer]":
        from chains.verification.sentences import SentenceVerifier

        return _single(share(SentenceVerifier(self._judge).verify))

    def _verified_sentences(self) -> "Callable[[Answer], Answer]":
        """A function that adds verdicts to the sentences of an answer and applies ``chain.verify``."""
        from chains.chat.writer import apply_policy

        verifier = self._sentence_verifier()
        return lambda answer: apply_policy(verifier(answer), self.settings.chain.verify)

    def _conflict_finder(self) -> "Callable[[Sequence[Answer]], list[Answer]] | None":
        """A function that adds conflicting evidence; None if verification is off, or quotes have no judge."""
        if self.settings.chain.verify == "off":
            return None
        if self.answers_are_quotes and self.judge_unavailable_reason is not None:
            return None
        from chains.verification.conflicts import add_conflicts

        return partial(add_conflicts, self.checker(searches=False, with_note=False), quotes=self.answers_are_quotes)

    def _wider_chains(self, retriever: "Retriever | None", open_questions: bool) -> "list[AnswerChain]":
        """Chains that read more passages, for ``chain.verify: retry``."""
        from chains.verification.answers import more_passages

        if retriever is None:
            return []
        counts = more_passages(self.settings.chain.passages, retriever.top_k)
        return [self._qa_chain(retriever, passages=count, open_questions=open_questions) for count in counts]

    def chat(self, share: Share = unshared) -> "Chat":
        """The chat of section ``chat``, over the agent or the chain.

        Without an agent and with ``chain.verify: report``, an answer is shown before its verdicts, else after them.

        Args:
            share: applied to each batch function of a model: answering, judging, rewriting of follow-ups.
        """
        from chains.chat import Chat, Conversations
        from chains.models.base import estimated_tokens
        from chains.qa.base import SharedChain
        from chains.verification.answers import Verifier

        self._check_model()
        config, verifier = self.settings.chat, None
        has_quotes = self.answers_are_quotes
        if not has_quotes and self.settings.agent.kind == "off" and self.settings.chain.verify == "report":
            verifier = _single(share(Verifier(self._judge).verify))
        written_answers = self.written_answers(share) if self._writes_sentences else None
        add_conflicts = self._conflict_finder()
        chain = self._answering_chain(written_answers, verify=verifier is None)
        if share is not unshared:
            chain = SharedChain(chain, share)
        window = None if has_quotes else self.answering_model.window
        return Chat(
            chain,
            Conversations(config.path),
            rewriter=self._followup_rewriter(share),
            verifier=verifier,
            conflicts=None if add_conflicts is None else _single(share(add_conflicts)),
            written=written_answers,
            count=estimated_tokens if has_quotes else self._message_tokens,
            budget=config.history_tokens if window is None else min(config.history_tokens, window // 4),
        )

    def _message_tokens(self, text: str) -> int:
        """Tokens of a user's message in the model's chat template."""
        return self.answering_model.length(self.answering_model.prompts([[{"role": "user", "content": text}]])[0])

    @property
    def _writes_sentences(self) -> bool:
        """Whether a language model writes answers in sentences."""
        answers = self.settings.chat.answers
        return not self.answers_are_quotes and (answers == "written" or (answers == "auto" and not self.is_tiny))

    def _qa_chain(
        self,
        retriever: "Retriever | None",
        context: "Context" = "retrieved",
        passages: int | None = None,
        *,
        open_questions: bool = False,
    ) -> "AnswerChain":
        from chains.qa.chain import qa_chain

        config = self.settings.chain
        if config.evidence == "summaries" and self.is_tiny:
            raise UserError(NO_SUMMARIES.format(why="medground-tiny writes none"))
        return qa_chain(
            self.answering_model,
            retriever,
            context=context,
            decide=config.decide,
            passages=passages or config.passages,
            prompt_family=self.settings.prompt.family,
            open_questions=open_questions,
            evidence=config.evidence,
        )

    def _check_model(self) -> None:
        """Raise ``UserError`` if answers are quotes but a setting needs a model, or if an agent cannot search."""
        agent, chat = self.settings.agent.kind, self.settings.chat
        if self.answers_are_quotes:
            needs_model = {
                f"agent.kind is {agent}": agent != "off",
                "chat.rewrite is llm": chat.rewrite == "llm",
                "chat.answers is written": chat.answers == "written",
            }
            if settings := [text for text, needed in needs_model.items() if needed]:
                raise UserError(
                    f"{' and '.join(settings)}, which needs a language model, but answers here are quotes. Set "
                    "llm.model (medground-tiny reads the sample only: --data sample), or remove that setting."
                )
        if agent != "off" and self.settings.chain.context != "retrieved":
            raise UserError(f"agent.kind is {agent}, and agents search. Set chain.context to retrieved.")

    def _query_rewriter(self) -> "Callable[..., str | None]":
        """The rewriter of an agent's query: the language model, or keywords for medground-tiny."""
        from chains.rewriting.keywords import make_model_rewording, reword_by_keywords

        if self.is_tiny:
            return reword_by_keywords
        from chains.rewriting.wordings import LLMRewriter

        return make_model_rewording(LLMRewriter(self.answering_model, self.settings.prompt.family))

    def _followup_rewriter(self, share: Share) -> "QuestionRewriter":
        """The rewriter of follow-up questions."""
        from langchain_core.runnables import RunnableLambda

        from chains.rewriting.followups import ModelRewriter, by_rules, without_rewriting

        match self.settings.chat.rewrite:
            case "off":
                return without_rewriting
            case "rules":
                return by_rules
            case "auto" if self.answers_are_quotes or self.is_tiny:
                return by_rules
            case _:
                rewrite = _single(share(partial(_rewritten_questions, self.answering_model)))
                return ModelRewriter(RunnableLambda(rewrite), self.answering_model.clean)

    def _writer(self) -> "Writer":
        """The writer of answers in sentences."""
        from chains.chat.writer import Writer

        llm, max_tokens = self.answering_model, self.settings.chat.max_new_tokens
        identity = {"llm": llm.fingerprint, "most": max_tokens}
        return Writer(llm.writer(max_tokens), llm.clean, self.settings.llm.system, cache=self._cache, identity=identity)


def _single(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Item], Result]:
    """The batch function ``run`` as a function of one item."""
    return lambda item: run([item])[0]


def _rewritten_questions(llm: "LLM", requests: "Sequence[PromptValue]") -> list[str]:
    """The model's completion of each request; empty if the context window is too small."""
    from langchain_core.output_parsers import StrOutputParser

    from chains.models.base import TooLongError
    from chains.prompts import as_dicts

    prompts = llm.prompts([as_dicts(request.to_messages()) for request in requests])
    fitting = [
        index
        for index, prompt in enumerate(prompts)
        if llm.window is None or llm.length(prompt) + REWRITTEN_TOKENS <= llm.window
    ]
    chain = llm.writer(REWRITTEN_TOKENS) | StrOutputParser()
    completions = chain.batch([requests[index] for index in fitting], return_exceptions=True)
    questions = [""] * len(prompts)
    for index, completion in zip(fitting, completions, strict=True):
        if isinstance(completion, Exception) and not isinstance(completion, TooLongError):
            raise completion
        questions[index] = completion if isinstance(completion, str) else ""
    return questions
