"""Pipeline: chains, chats and agents of one set of settings over one corpus."""

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
QUESTION_TOKENS = 96  # limit of a question that a model rewrites


class Share(Protocol):
    """Decorator of a batch function that lets concurrent callers share batches."""

    def __call__(
        self, run: Callable[[Sequence[Item]], Sequence[Result]], /
    ) -> Callable[[Sequence[Item]], Sequence[Result]]:
        """Return a function with the same results as ``run``."""
        ...


def unshared(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Sequence[Item]], Sequence[Result]]:
    """The ``Share`` of a single caller: ``run`` itself."""
    return run


class Pipeline(Components):
    """Chains, agents and conversations over the models and retrievers of one set of settings."""

    def chain(
        self,
        context: "Context | None" = None,
        *,
        retriever: str | None = None,
        verify: "Verify | None" = None,
        open_questions: bool = False,
    ) -> "AnswerChain":
        """The chain that answers single questions; arguments override section ``chain`` and the setting ``retriever``.

        Args:
            context: what the model reads.
            retriever: the name of a retriever.
            verify: what happens to unsupported answers.
            open_questions: whether a writer answers questions that are not yes/no (``chains.qa.qa_chain``).
        """
        config = self.settings.chain
        context, verify = context or config.context, verify or config.verify
        if self.quotes:
            if config.evidence == "summaries":
                raise UserError(NO_SUMMARIES.format(why="here passages are quoted without a language model"))
            from chains.qa.extractive import extractive_chain

            notes = () if verify == "off" else (UNVERIFIED_NOTE,)
            found = self.retriever(retriever)
            words = next((name for name, one in self.settings.retrievers.items() if one.kind == "bm25"), None)
            return extractive_chain(
                found,
                embedder=self._quote_embedder(retriever or self.settings.retriever),
                passages=found.top_k,
                max_sentences=config.max_sentences,
                notes=notes,
                frequencies=None if words is None else self.retriever(words).frequencies,
                relevance=self._quote_relevance(),
            )
        from chains.verification.answers import verified_chain

        judge = None if verify == "off" else self._judge  # first: it may share the base with the model that answers
        searched = self.retriever(retriever) if context == "retrieved" else None
        chain = self._qa_chain(searched, context, open_questions=open_questions)
        if judge is None:
            return chain
        wider = self._wider(searched, open_questions) if verify == "retry" else ()
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
        decides = by_labels(self._qa_chain(None, "gold")) if judge is None else by_judge(judge)
        verify = None if judge is None else _one(Verifier(judge).verify)
        on_step: Callable[[Step], None] = trace_to(config.trace) if config.trace else lambda _: None
        grader, found = Grader(decides, config.relevance), self.retriever()
        read: Any = self._qa_chain
        match config.kind:
            case "graph":
                from chains.agent.graph import GraphAgent

                return GraphAgent(
                    found, read, grader, verify, self._reword(), config, on_step=on_step, passages=passages
                )
            case "tools":
                from chains.agent.calling import ToolAgent

                llm = self.llm
                return ToolAgent(
                    llm.chat,
                    found,
                    read,
                    grader,
                    verify,
                    config,
                    checker=None if judge is None else self.checker(noted=False),
                    on_step=on_step,
                    passages=passages,
                    clean=llm.clean,
                    verify_sentences=None if judge is None else self._support(),
                )
        assert_never(config.kind)

    def answerer(self) -> "AnswerChain":
        """The agent if ``agent.kind`` names one, else the chain; answers include ``note``.

        ``chat.answers`` sets the form of the answers.
        """
        from chains.qa.base import MappedChain, noted_chain

        chain = self._answering(written := self.written() if self._writes else None)
        if written is not None:
            chain = MappedChain(chain, written.write_all)
        if (add_conflicts := self._conflict_finder()) is not None:
            chain = MappedChain(chain, add_conflicts)
        return chain if self.note is None else noted_chain(chain, self.note)

    def written(
        self, share: Share = unshared, *, retriever: str | None = None, verify: "Verify | None" = None
    ) -> "WrittenAnswers":
        """The writer of answers in sentences, which verifies them as ``chain.verify`` says.

        Args:
            share: applied to the judge.
            retriever: the name of the retriever of the passages; by default ``retriever``.
            verify: what happens to unsupported sentences; by default ``chain.verify``.
        """
        from chains.chat.writer import WrittenAnswers

        verify = verify or self.settings.chain.verify
        verifier = None if verify == "off" else self._sentence_verifier(share)
        searched = self.retriever(retriever) if self.settings.chain.context == "retrieved" else None
        embedder = self._embedder(retriever or self.settings.retriever) if verifier is None and searched else None
        wider = self._wider(searched, open_questions=True) if verify == "retry" else ()
        return WrittenAnswers(self._writer(), verifier, verify, wider=wider, embedder=embedder)

    def _answering(self, written: "WrittenAnswers | None", *, judged: bool = True) -> "AnswerChain":
        """The agent or the chain; where answers are written and pruned, the label's verdict withholds none.

        Args:
            written: what writes the answers, if they are written.
            judged: False leaves the verdict of the chain's answers to the caller.
        """
        if self.settings.agent.kind != "off":
            return self.agent()
        verify: Verify | None = None if judged else "off"
        if judged and written is not None and self.settings.chain.verify == "prune":
            verify = "report"
        return self.chain(verify=verify, open_questions=written is not None)

    def _sentence_verifier(self, share: Share = unshared) -> "Callable[[Answer], Answer]":
        from chains.verification.sentences import SentenceVerifier

        return _one(share(SentenceVerifier(self._judge).verify))

    def _support(self) -> "Callable[[Answer], Answer]":
        """Adds verdicts to the sentences of an answer and applies ``chain.verify``."""
        from chains.chat.writer import apply_policy

        verifier = self._sentence_verifier()
        return lambda answer: apply_policy(verifier(answer), self.settings.chain.verify)

    def _conflict_finder(self) -> "Callable[[Sequence[Answer]], list[Answer]] | None":
        """Finds conflicting evidence; None where ``chain.verify`` is off, or quotes have no judge."""
        if self.settings.chain.verify == "off" or (self.quotes and self.no_judge is not None):
            return None
        from chains.verification.conflicts import add_conflicts

        return partial(add_conflicts, self.checker(searches=False, noted=False), quotes=self.quotes)

    def _wider(self, searched: "Retriever | None", open_questions: bool) -> "list[AnswerChain]":
        """Chains that read more passages, for ``chain.verify: retry``."""
        from chains.verification.answers import more_passages

        if searched is None:
            return []
        counts = more_passages(self.settings.chain.passages, searched.top_k)
        return [self._qa_chain(searched, passages=count, open_questions=open_questions) for count in counts]

    def chat(self, share: Share = unshared) -> "Chat":
        """The conversation of section ``chat``, over the agent or the chain.

        With ``chain.verify: report`` and no agent, the answer is given before its verdicts, else after them.

        Args:
            share: applied to each batch function of a model: answering, judging, rewriting of follow-ups.
        """
        from chains.chat import Chat, Conversations
        from chains.models.base import estimated_tokens
        from chains.qa.base import SharedChain
        from chains.verification.answers import Verifier

        self._check_model()
        config, verifier = self.settings.chat, None
        if not self.quotes and self.settings.agent.kind == "off" and self.settings.chain.verify == "report":
            verifier = _one(share(Verifier(self._judge).verify))
        written = self.written(share) if self._writes else None
        add_conflicts = self._conflict_finder()
        chain = self._answering(written, judged=verifier is None)
        if share is not unshared:
            chain = SharedChain(chain, share)
        window = None if self.quotes else self.llm.window
        return Chat(
            chain,
            Conversations(config.path),
            rewriter=self._rewriter(share),
            verifier=verifier,
            conflicts=None if add_conflicts is None else _one(share(add_conflicts)),
            written=written,
            count=estimated_tokens if self.quotes else self._message_tokens,
            budget=config.history_tokens if window is None else min(config.history_tokens, window // 4),
        )

    def _message_tokens(self, text: str) -> int:
        """Tokens of a user's message in the model's chat template."""
        return self.llm.length(self.llm.prompts([[{"role": "user", "content": text}]])[0])

    @property
    def _writes(self) -> bool:
        """Whether a language model writes answers in sentences."""
        answers = self.settings.chat.answers
        return not self.quotes and (answers == "written" or (answers == "auto" and not self.is_tiny))

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
            self.llm,
            retriever,
            context=context,
            decide=config.decide,
            passages=passages or config.passages,
            prompt_family=self.settings.prompt.family,
            open_questions=open_questions,
            evidence=config.evidence,
        )

    def _check_model(self) -> None:
        """Raise ``UserError`` if quoting settings require a language model, or an agent cannot search."""
        agent, chat = self.settings.agent.kind, self.settings.chat
        if self.quotes:
            needs = {
                f"agent.kind is {agent}": agent != "off",
                "chat.rewrite is llm": chat.rewrite == "llm",
                "chat.answers is written": chat.answers == "written",
            }
            if stated := [text for text, is_so in needs.items() if is_so]:
                raise UserError(
                    f"{' and '.join(stated)}, which needs a language model, but answers here are quotes. Set llm.model "
                    "(medground-tiny reads the sample only: --data sample), or remove that setting."
                )
        if agent != "off" and self.settings.chain.context != "retrieved":
            raise UserError(f"agent.kind is {agent}, and agents search. Set chain.context to retrieved.")

    def _reword(self) -> "Callable[..., str | None]":
        """The rewriter of an agent's query: a model, or a rule for medground-tiny."""
        from chains.rewriting.keywords import by_keywords, by_model

        if self.is_tiny:
            return by_keywords
        from chains.rewriting.wordings import LLMRewriter

        return by_model(LLMRewriter(self.llm, self.settings.prompt.family))

    def _rewriter(self, share: Share) -> "QuestionRewriter":
        """The rewriter of follow-up questions."""
        from langchain_core.runnables import RunnableLambda

        from chains.rewriting.followups import ModelRewriter, by_rules, without_rewriting

        match self.settings.chat.rewrite:
            case "off":
                return without_rewriting
            case "rules":
                return by_rules
            case "auto" if self.quotes or self.is_tiny:
                return by_rules
            case _:
                return ModelRewriter(RunnableLambda(_one(share(partial(_write, self.llm)))), self.llm.clean)

    def _writer(self) -> "Writer":
        """The writer of answers in sentences."""
        from chains.chat.writer import Writer

        llm, most = self.llm, self.settings.chat.max_new_tokens
        identity = {"llm": llm.fingerprint, "most": most}
        return Writer(llm.writer(most), llm.clean, self.settings.llm.system, cache=self._cache, identity=identity)


def _one(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Item], Result]:
    """The batch function ``run`` as a function of one item."""
    return lambda item: run([item])[0]


def _write(llm: "LLM", conversations: "Sequence[PromptValue]") -> list[str]:
    """The model's continuation of each conversation; empty if the context window is too small."""
    from langchain_core.output_parsers import StrOutputParser

    from chains.models.base import TooLongError
    from chains.prompts import as_dicts

    prompts = llm.prompts([as_dicts(one.to_messages()) for one in conversations])
    fitting = [
        place
        for place, prompt in enumerate(prompts)
        if llm.window is None or llm.length(prompt) + QUESTION_TOKENS <= llm.window
    ]
    chain = llm.writer(QUESTION_TOKENS) | StrOutputParser()
    texts = chain.batch([conversations[place] for place in fitting], return_exceptions=True)
    written = [""] * len(prompts)
    for place, text in zip(fitting, texts, strict=True):
        if isinstance(text, Exception) and not isinstance(text, TooLongError):
            raise text
        written[place] = text if isinstance(text, str) else ""
    return written
