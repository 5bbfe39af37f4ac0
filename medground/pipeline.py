"""Pipeline: models, retrievers, chains, chats and agents of one set of settings over one corpus."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, assert_never

from common.errors import UserError
from medground.ingest import Corpus, searched_corpus
from medground.settings import Settings, Tree, load_settings

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.prompt_values import PromptValue

    from chains.agent.steps import Step
    from chains.answer import Answer
    from chains.chat import Chat
    from chains.chat.writer import Writer, WrittenAnswers
    from chains.config import Context, Verify
    from chains.models.adapter_switch import SharedBase
    from chains.models.base import LLM
    from chains.nli import NLIModel
    from chains.qa.base import AnswerChain
    from chains.rewriting.followups import QuestionRewriter
    from chains.verification.conflicts import ConflictFinder
    from chains.verification.statements import Checker
    from common.result_cache import ResultCache
    from corpus.inference.pairs import NLIPair
    from retrievers.base import Retriever

Item = TypeVar("Item")
Result = TypeVar("Result")

TINY_NOTE = (
    "medground-tiny answered. It reads the sample's language, not real medicine: its answers on other texts mean "
    "nothing. Set llm.model to a real model."
)
TINY_JUDGE_NOTE = (
    "medground-tiny gave the verdicts. It reads the sample's language, not real medicine: its verdicts on other texts "
    "mean nothing. Set nli.model or llm.model to a real model."
)
QUOTE_NOTE = (
    "medground-tiny reads the sample only, so your documents are quoted. Set llm.model to a real model for answers."
)
NO_SUMMARIES = (
    "chain.evidence is summaries, which a language model writes, and {why}. Set llm.model to another model, or "
    "chain.evidence to passages."
)
UNVERIFIED_NOTE = "not verified: the answer quotes its evidence and claims nothing beyond it"
NO_JUDGE = (
    "Checking statements needs an NLI model, and the settings have none: {why}. Set nli.kind to encoder and "
    "nli.model to a sequence classifier (a folder of `medground train encoder`, or a hub id), or llm.model to a real "
    "language model, with its adapter in nli.adapter if it has one."
)
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


class Pipeline:
    """Models, retrievers, chains and agents of one set of settings over one corpus.

    Models and retrievers are loaded at first use and shared by chains, chats and agents.

    Attributes:
        settings: all sections.
        quiet: whether progress bars are off.
    """

    def __init__(
        self,
        settings: Settings,
        corpus: Corpus | None = None,
        *,
        cache: "ResultCache | None" = None,
        retrievers: "Mapping[str, Retriever] | None" = None,
        quiet: bool = False,
    ) -> None:
        """See ``from_settings``."""
        self.settings = settings
        self.quiet = quiet
        self._given_corpus = corpus
        self._cache = cache
        self._retrievers = dict(retrievers or {})

    @classmethod
    def from_settings(
        cls,
        settings: Settings | Path | str | Tree | None = None,
        corpus: Corpus | None = None,
        *,
        cache: "ResultCache | None" = None,
        retrievers: "Mapping[str, Retriever] | None" = None,
        quiet: bool = False,
    ) -> Self:
        """Make a pipeline without loading anything.

        Args:
            settings: settings, a YAML file, a mapping of sections or dotted keys; None for the defaults.
            corpus: the passages to search; by default the indexed documents, else the sample.
            cache: stores results of models and retrievers for later runs.
            retrievers: existing retrievers by name.
            quiet: no progress bars.

        Raises:
            UserError: the settings are not valid.
        """
        if settings is None or isinstance(settings, Path | str):
            settings = load_settings(settings)
        elif not isinstance(settings, Settings):
            settings = load_settings(None, settings)
        return cls(settings, corpus, cache=cache, retrievers=retrievers, quiet=quiet)

    def over(self, corpus: Corpus, settings: Settings) -> "Pipeline":
        """A pipeline of other settings over another corpus, with the same result cache."""
        return Pipeline(settings, corpus, cache=self._cache, quiet=self.quiet)

    @cached_property
    def corpus(self) -> Corpus:
        """The searched passages."""
        return self._given_corpus or searched_corpus(self.settings)

    @cached_property
    def quotes(self) -> bool:
        """Whether answers are quoted sentences: by setting, or for medground-tiny over the user's documents."""
        return self.settings.llm.kind == "extractive" or (self.corpus.is_users and self._is_tiny)

    @cached_property
    def note(self) -> str | None:
        """A note on corpus and model for readers of the answers, if there is one."""
        llm = self.settings.llm.kind != "extractive"
        searches = not llm or self.settings.chain.context == "retrieved"
        notes = [self.corpus.note] if searches and self.corpus.note is not None else []
        if llm and self._is_tiny:
            notes.append(QUOTE_NOTE if self.quotes else TINY_NOTE)
        return " ".join(notes) or None

    @property
    def about(self) -> dict[str, str]:
        """Names of ``llm``, ``retriever`` and, if there is one, ``agent``, for display."""
        model = "none: quotes" if self.quotes else self.settings.llm.model
        searches = self.quotes or self.settings.chain.context == "retrieved"
        parts = {
            "llm": "medground-tiny" if model == "embedded" else model,
            "retriever": self.settings.retriever if searches else "none",
        }
        return parts if self.settings.agent.kind == "off" else {**parts, "agent": self.settings.agent.kind}

    @property
    def llm(self) -> "LLM":
        """The answering model.

        Raises:
            UserError: the model or its adapter cannot be used.
        """
        return self._shared.answering if "_shared" in vars(self) else self._loaded

    def judge(
        self, measured: "Sequence[NLIPair]" = (), *, shots: int | None = None, adapter: bool = True
    ) -> "NLIModel":
        """The NLI model of section ``nli``.

        With ``nli.adapter`` the language model is loaded once; the adapter is enabled for pairs and disabled for
        answers. Chains made earlier with ``verify="off"`` must not run at the same time.

        Args:
            measured: pairs under evaluation, which are never few-shot examples.
            shots: training pairs per label in the prompt; by default ``prompt.shots``.
            adapter: False disables ``nli.adapter``.

        Raises:
            UserError: the model, its adapter or the training pairs cannot be used.
        """
        settings = self.settings
        if settings.nli.kind == "encoder":
            return self._encoder
        from chains.nli import draw_shots, nli_chain
        from corpus.inference.pairs import load_pairs

        llm = self._shared.judging if adapter and settings.nli.adapter is not None else self.llm
        labels = tuple(dict.fromkeys(settings.pairs.labels.values()))
        examples = []
        if count := settings.prompt.shots if shots is None else shots:
            train = load_pairs(settings.pairs.model_copy(update={"limit": None}), "train")
            examples = draw_shots(train.pairs, labels, count, asked=measured)
        return nli_chain(
            llm, labels, shots=examples, decide=settings.chain.decide, prompt_family=settings.prompt.family
        )

    def checker(self, *, retriever: str | None = None, searches: bool = True, noted: bool = True) -> "Checker":
        """Checks statements against passages with the judge; section ``check`` has its numbers.

        Args:
            retriever: the name of a retriever; by default ``retriever``.
            searches: False for a checker without a retriever, of statements with a context.
            noted: whether each result has ``check_note`` among its notes.

        Raises:
            UserError: the settings name no judge that can read the passages, or a model, the data or the store cannot
                be used.
        """
        from chains.verification.statements import make_checker

        if self.no_judge is not None:
            raise UserError(self.no_judge)
        judge = self._judge
        name = retriever or self.settings.retriever
        notes = (self.check_note,) if noted and self.check_note is not None else ()
        found = self.retriever(name) if searches else None
        return make_checker(found, judge, self.settings.check, embedder=self._embedder(name), notes=notes)

    @property
    def no_judge(self) -> str | None:
        """Why the settings have no NLI model for this corpus; None if they have one."""
        nli = self.settings.nli
        if nli.kind == "encoder":
            return None
        if self.settings.llm.kind == "extractive":
            return NO_JUDGE.format(why="llm.kind is extractive")
        if self._is_tiny and self.corpus.is_users and nli.adapter is None:
            return NO_JUDGE.format(why="medground-tiny reads the sample only, and your documents are searched")
        return None

    @property
    def check_note(self) -> str | None:
        """The note on corpus and NLI model that is shown with checks; None for no note."""
        tiny = self.settings.nli.kind == "llm" and self._is_tiny
        return " ".join(filter(None, (self.corpus.note, TINY_JUDGE_NOTE if tiny else None))) or None

    def retriever(self, name: str | None = None) -> "Retriever":
        """A retriever by name, by default that of the setting ``retriever``; see ``retrievers``."""
        name = name or self.settings.retriever
        return self.retrievers([name])[name]

    def retrievers(self, names: Sequence[str] | None = None) -> "dict[str, Retriever]":
        """Retrievers by name, by default all. Passages missing from the store are embedded first.

        Raises:
            UserError: a model or the store cannot be used.
        """
        names = list(self.settings.retrievers) if names is None else names
        if missing := [name for name in names if name not in self._retrievers]:
            self._retrievers |= self._make_retrievers(missing)
        return {name: self._retrievers[name] for name in names}

    def retriever_identity(self, name: str) -> dict[str, Any]:
        """What determines a retriever's results besides question and passages."""
        return retriever_identity(self.settings, name)

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

        Raises:
            UserError: a model, the data or the store cannot be used.
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
            )
        from chains.verification.answers import verified_chain

        judge = None if verify == "off" else self._judge  # first: it may share the base with the model that answers
        searched = self.retriever(retriever) if context == "retrieved" else None
        chain = self._qa_chain(searched, context, open_questions=open_questions)
        if judge is None:
            return chain
        wider = self._wider(searched, open_questions) if verify == "retry" else ()
        return verified_chain(chain, judge, verify=verify, wider=wider)

    def agent(self, *, tell: "Callable[[Step], None] | None" = None) -> "AnswerChain":
        """The agent of section ``agent``; it verifies its answers unless ``chain.verify`` is off.

        Args:
            tell: called with each step; by default steps are written to ``agent.trace``.

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
        if tell is None:
            tell = trace_to(config.trace) if config.trace else lambda _: None
        grader, found = Grader(decides, config.relevance), self.retriever()
        read: Any = self._qa_chain
        match config.kind:
            case "graph":
                from chains.agent.graph import GraphAgent

                return GraphAgent(found, read, grader, verify, self._reword(), config, tell=tell, passages=passages)
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
                    tell=tell,
                    passages=passages,
                    clean=llm.clean,
                    support=None if judge is None else partial(self._supported, self._sentence_verifier()),
                )
        assert_never(config.kind)

    def answerer(self) -> "AnswerChain":
        """The agent if ``agent.kind`` names one, else the chain; answers include ``note``.

        ``chat.answers`` sets the form of the answers.

        Raises:
            UserError: see ``chain`` and ``agent``.
        """
        from chains.qa.base import NotedChain

        chain = self._answering(written := self.written() if self._writes else None)
        if written is not None:
            from chains.chat.writer import WrittenChain

            chain = WrittenChain(chain, written)
        if (finder := self._conflict_finder()) is not None:
            from chains.verification.conflicts import ConflictChain

            chain = ConflictChain(chain, finder)
        return chain if self.note is None else NotedChain(chain, self.note)

    def written(
        self, share: Share = unshared, *, retriever: str | None = None, verify: "Verify | None" = None
    ) -> "WrittenAnswers":
        """What writes answers in sentences, judges these, and does as ``chain.verify`` says.

        Args:
            share: applied to the judge.
            retriever: the name of the retriever of the passages; by default ``retriever``.
            verify: what happens to unsupported sentences; by default ``chain.verify``.

        Raises:
            UserError: a model cannot be used.
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

    def _supported(self, verifier: "Callable[[Answer], Answer]", answer: "Answer") -> "Answer":
        """An answer with verdicts on its sentences, changed as ``chain.verify`` says."""
        from chains.chat.writer import settled

        return settled(verifier(answer), self.settings.chain.verify)

    def _conflict_finder(self) -> "ConflictFinder | None":
        """What finds conflicting evidence; None where ``chain.verify`` is off, or quotes have no judge."""
        if self.settings.chain.verify == "off" or (self.quotes and self.no_judge is not None):
            return None
        from chains.verification.conflicts import ConflictFinder

        return ConflictFinder(self.checker(searches=False, noted=False), quotes=self.quotes)

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

        Raises:
            UserError: a model, the data or the conversations' file cannot be used, or the settings require a language
                model.
        """
        from chains.chat import Chat, Conversations
        from chains.models.base import estimated_tokens
        from chains.qa.base import SharedChain
        from chains.rewriting.followups import as_it_stands, by_rules
        from chains.verification.answers import Verifier

        self._check_model()
        config, verifier, written = self.settings.chat, None, None
        if not self.quotes and self.settings.agent.kind == "off" and self.settings.chain.verify == "report":
            verifier = _one(share(Verifier(self._judge).verify))
        if self._writes:
            written = self.written(share)
        finder = self._conflict_finder()
        conflicts = None if finder is None else _one(share(finder.add_conflicts))
        chain = self._answering(written, judged=verifier is None)
        if share is not unshared:
            chain = SharedChain(chain, share)
        if self.quotes:
            return Chat(
                chain,
                Conversations(config.path),
                rewriter=as_it_stands if config.rewrite == "off" else by_rules,
                conflicts=conflicts,
                count=estimated_tokens,
                budget=config.history_tokens,
            )
        llm = self.llm
        return Chat(
            chain,
            Conversations(config.path),
            rewriter=self._rewriter(share),
            verifier=verifier,
            conflicts=conflicts,
            written=written,
            count=lambda text: llm.length(llm.prompts([[{"role": "user", "content": text}]])[0]),
            budget=config.history_tokens if llm.window is None else min(config.history_tokens, llm.window // 4),
        )

    @property
    def _writes(self) -> bool:
        """Whether a language model writes answers in sentences."""
        answers = self.settings.chat.answers
        return not self.quotes and (answers == "written" or (answers == "auto" and not self._is_tiny))

    @cached_property
    def _is_tiny(self) -> bool:
        return reads_only_the_sample(self.settings.llm.model)

    @cached_property
    def _loaded(self) -> "LLM":
        """The model of section ``llm``; use ``llm``, which keeps the judge's adapter disabled."""
        from chains.models import make_llm

        return make_llm(self.settings.llm, self._cache)

    @cached_property
    def _shared(self) -> "SharedBase":
        """One base model that answers without ``nli.adapter`` and judges with it."""
        from chains.models.adapter_switch import share_base
        from chains.models.local import LocalLLM

        if not isinstance(self._loaded, LocalLLM):
            raise UserError(_no_place_for_adapter(self.settings.llm.kind))
        return share_base(self._loaded, str(self.settings.nli.adapter))

    @cached_property
    def _encoder(self) -> "NLIModel":
        from chains.encoder.classifier import load_classifier

        if self.settings.nli.model is None:
            raise UserError("nli.kind is encoder, but nli.model is not set. Set it to a folder or a hub id.")
        return load_classifier(self.settings.nli.model, cache=self._cache)

    @cached_property
    def _judge(self) -> "NLIModel":
        return self.judge()

    def _quote_embedder(self, name: str) -> "Embeddings | None":
        """The embedder that ranks quotes: ``chain.quote_embedder``, or that of a retriever."""
        from retrievers.embedders import make_embedder

        if (named := self.settings.chain.quote_embedder) is None:
            return self._embedder(name)
        return make_embedder(self.settings.embedders[named], self.settings.store)

    def _embedder(self, name: str) -> "Embeddings | None":
        """The embedder of a retriever, or of the first that it builds on; None if it searches by words alone."""
        from retrievers.embedders import make_embedder

        config = self.settings.retrievers[name]
        if (embedder := getattr(config, "embedder", None)) is not None:
            return make_embedder(self.settings.embedders[embedder], self.settings.store)
        return next(filter(None, map(self._embedder, config.builds_on())), None)

    def _make_retrievers(self, names: Sequence[str]) -> "dict[str, Retriever]":
        """New retrievers; with a cache, results are kept to the metrics' depth, except from PubMed."""
        from retrievers.registry import kinds_of, make_retrievers

        rewriter = None
        if "multi_query" in kinds_of(self.settings.retrievers, names):
            from chains.rewriting.wordings import LLMRewriter

            rewriter = LLMRewriter(self.llm, self.settings.prompt.family)
        made = make_retrievers(
            self.settings.retrievers,
            names,
            self.corpus.passages,
            corpus=self.corpus.name,
            embedders=self.settings.embedders,
            store=self.settings.store,
            rewriter=rewriter,
            quiet=self.quiet,
        )
        if self._cache is None:
            return made
        from eval.stats.metrics import DEPTH
        from retrievers.cached import CachedRetriever

        return {
            name: retriever
            if retriever.is_online  # its results may change from day to day
            else CachedRetriever(
                retriever, self.corpus.passages, self._cache, identity=self.retriever_identity(name), depth=DEPTH
            )
            for name, retriever in made.items()
        }

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
        if config.evidence == "summaries" and self._is_tiny:
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

        if self._is_tiny:
            return by_keywords
        from chains.rewriting.wordings import LLMRewriter

        return by_model(LLMRewriter(self.llm, self.settings.prompt.family))

    def _rewriter(self, share: Share) -> "QuestionRewriter":
        """The rewriter of follow-up questions."""
        from langchain_core.runnables import RunnableLambda

        from chains.rewriting.followups import ByModel, as_it_stands, by_rules

        match self.settings.chat.rewrite:
            case "off":
                return as_it_stands
            case "rules":
                return by_rules
            case "auto" if self._is_tiny:
                return by_rules
            case _:
                return ByModel(RunnableLambda(_one(share(partial(_write, self.llm)))), self.llm.clean)

    def _writer(self) -> "Writer":
        """The writer of answers in sentences."""
        from chains.chat.writer import Writer

        llm, most = self.llm, self.settings.chat.max_new_tokens
        identity = {"llm": llm.fingerprint, "most": most}
        return Writer(llm.writer(most), llm.clean, self.settings.llm.system, cache=self._cache, identity=identity)


def judging_settings(settings: Settings) -> Settings:
    """Settings of a pipeline that only judges: ``nli.adapter`` replaces ``llm.adapter``.

    Raises:
        UserError: the model is on a server, which loads its adapters itself.
    """
    if settings.nli.kind == "encoder" or settings.nli.adapter is None:
        return settings
    if settings.llm.kind in ("openai", "llamacpp"):
        raise UserError(_no_place_for_adapter(settings.llm.kind))
    return settings.model_copy(
        update={
            "llm": settings.llm.model_copy(update={"adapter": settings.nli.adapter}),
            "nli": settings.nli.model_copy(update={"adapter": None}),
        }
    )


def reads_only_the_sample(model: str) -> bool:
    """Whether ``llm.model`` is medground-tiny, or was merged from it."""
    report = Path(model).expanduser() / "merge.json"
    if model == "embedded" or not report.is_file():
        return model == "embedded"
    from chains.models.local import EMBEDDED
    from common.json_file import read_object

    base = str(read_object(report).get("base"))
    return base == "embedded" or Path(base).parts[-2:] == EMBEDDED.parts[-2:]


def retriever_identity(settings: Settings, name: str) -> dict[str, Any]:
    """See ``Pipeline.retriever_identity``."""
    from retrievers.registry import Context, identify

    rewriter = settings.llm.model_dump(mode="json")
    context = Context((), "", settings.embedders, settings.store, rewriter_identity=rewriter)
    return identify(name, settings.retrievers, context)


def _one(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Item], Result]:
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


def _no_place_for_adapter(kind: str) -> str:
    return (
        f"nli.adapter needs llm.kind huggingface, but llm.kind is {kind}. Remove nli.adapter, or set nli.kind to "
        "encoder."
    )
