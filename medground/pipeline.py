"""One set of settings over one corpus: its models, retrievers, chains, chats and agents."""

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
    from chains.chat import Chat
    from chains.chat.writer import Writer
    from chains.config import Context, Verify
    from chains.models.adapter_switch import SharedBase
    from chains.models.base import LLM
    from chains.nli import NLIModel
    from chains.qa.base import AnswerChain
    from chains.rewriting.followups import QuestionRewriter
    from common.result_cache import ResultCache
    from corpus.nli import NLIPair
    from retrievers.base import Retriever

Item = TypeVar("Item")
Result = TypeVar("Result")

TINY_NOTE = (
    "medground-tiny gave the answers. It reads the sample's language, not real medicine: on other texts its answers "
    "mean nothing. llm.model names a real one."
)
QUOTE_NOTE = "medground-tiny reads the sample only, so your documents are quoted. llm.model names a real model."
UNVERIFIED_NOTE = "not verified: the answer quotes its evidence and claims nothing beyond it"
QUESTION_TOKENS = 96  # limit of a question that a model rewrites


class Share(Protocol):
    """Turns a function over many items into one whose concurrent callers share batches."""

    def __call__(
        self, run: Callable[[Sequence[Item]], Sequence[Result]], /
    ) -> Callable[[Sequence[Item]], Sequence[Result]]:
        """Return a function with the same results as ``run``."""
        ...


def unshared(run: Callable[[Sequence[Item]], Sequence[Result]]) -> Callable[[Sequence[Item]], Sequence[Result]]:
    """Return ``run`` itself: the ``Share`` of a single caller."""
    return run


class Pipeline:
    """Everything that one set of settings describes over one corpus.

    Models and retrievers are loaded at first use and kept. Chains, chats and agents share them.

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
        """Make a pipeline. Nothing is loaded yet.

        Args:
            settings: settings, a YAML file, a mapping of sections or dotted keys, or None for the defaults.
            corpus: the passages to search; by default the indexed documents, or the sample where there are none.
            cache: stores the results of models and retrievers, so that a repeated run reuses them.
            retrievers: retrievers that exist already, by name.
            quiet: no progress bars.

        Raises:
            UserError: the settings are not valid.
        """
        if settings is None or isinstance(settings, Path | str):
            settings = load_settings(settings)
        elif not isinstance(settings, Settings):
            settings = load_settings(None, settings)
        return cls(settings, corpus, cache=cache, retrievers=retrievers, quiet=quiet)

    @cached_property
    def corpus(self) -> Corpus:
        """The passages that are searched."""
        return self._given_corpus or searched_corpus(self.settings)

    @cached_property
    def quotes(self) -> bool:
        """Whether answers are quoted sentences: the setting, or medground-tiny over the user's documents."""
        return self.settings.llm.kind == "extractive" or (self.corpus.is_users and self._is_tiny)

    @cached_property
    def note(self) -> str | None:
        """What a reader of the answers must know about the corpus and the model; None if there is nothing."""
        llm = self.settings.llm.kind != "extractive"
        searches = not llm or self.settings.chain.context == "retrieved"
        notes = [self.corpus.note] if searches and self.corpus.note is not None else []
        if llm and self._is_tiny:
            notes.append(QUOTE_NOTE if self.quotes else TINY_NOTE)
        return " ".join(notes) or None

    @property
    def about(self) -> dict[str, str]:
        """What answers, for display: ``llm``, ``retriever`` and, if there is one, ``agent``."""
        model = "none: quotes" if self.quotes else self.settings.llm.model
        searches = self.quotes or self.settings.chain.context == "retrieved"
        parts = {
            "llm": "medground-tiny" if model == "embedded" else model,
            "retriever": self.settings.retriever if searches else "none",
        }
        return parts if self.settings.agent.kind == "off" else {**parts, "agent": self.settings.agent.kind}

    @property
    def llm(self) -> "LLM":
        """The model that answers, loaded at first use.

        Raises:
            UserError: the model or its adapter cannot be used.
        """
        return self._shared.answering if "_shared" in vars(self) else self._loaded

    def judge(
        self, measured: "Sequence[NLIPair]" = (), *, shots: int | None = None, adapter: bool = True
    ) -> "NLIModel":
        """The model of section ``nli``, which judges whether a statement follows from a text.

        Where ``nli.adapter`` is set, the language model is loaded once: the adapter is on while pairs are judged and
        off while questions are answered. Chains that were made before, with ``verify="off"``, must not run at the same
        time.

        Args:
            measured: pairs that the model is evaluated on; none of them becomes a few-shot example.
            shots: training pairs of each label in the prompt; by default ``prompt.shots``.
            adapter: False judges without ``nli.adapter``.

        Raises:
            UserError: the model, its adapter or the training pairs cannot be used.
        """
        settings = self.settings
        if settings.nli.kind == "encoder":
            return self._encoder
        from chains.nli import draw_shots, nli_chain
        from corpus.nli import load_pairs

        llm = self._shared.judging if adapter and settings.nli.adapter is not None else self.llm
        labels = tuple(dict.fromkeys(settings.pairs.labels.values()))
        examples = []
        if count := settings.prompt.shots if shots is None else shots:
            train = load_pairs(settings.pairs.model_copy(update={"limit": None}), "train")
            examples = draw_shots(train.pairs, labels, count, asked=measured)
        return nli_chain(
            llm, labels, shots=examples, decide=settings.chain.decide, prompt_family=settings.prompt.family
        )

    def retriever(self, name: str | None = None) -> "Retriever":
        """A retriever of section ``retrievers``, by default the one that ``retriever`` names; see ``retrievers``."""
        name = name or self.settings.retriever
        return self.retrievers([name])[name]

    def retrievers(self, names: Sequence[str] | None = None) -> "dict[str, Retriever]":
        """Retrievers by name, by default all; passages that the store lacks are embedded first.

        Raises:
            UserError: a model or the store cannot be used.
        """
        names = list(self.settings.retrievers) if names is None else names
        if missing := [name for name in names if name not in self._retrievers]:
            self._retrievers |= self._make_retrievers(missing)
        return {name: self._retrievers[name] for name in names}

    def retriever_identity(self, name: str) -> dict[str, Any]:
        """What determines a retriever's results besides question and passages: settings, models, what it builds on."""
        return retriever_identity(self.settings, name)

    def chain(
        self, context: "Context | None" = None, *, retriever: str | None = None, verify: "Verify | None" = None
    ) -> "AnswerChain":
        """The chain that answers single questions.

        Args:
            context: what the model reads; by default ``chain.context``.
            retriever: the name of a retriever; by default ``retriever``.
            verify: what happens to unsupported answers; by default ``chain.verify``.

        Raises:
            UserError: a model, the data or the store cannot be used.
        """
        config = self.settings.chain
        context, verify = context or config.context, verify or config.verify
        if self.quotes:
            from chains.qa.extractive import extractive_chain

            notes = () if verify == "off" else (UNVERIFIED_NOTE,)
            found = self.retriever(retriever)
            words = next((name for name, one in self.settings.retrievers.items() if one.kind == "bm25"), None)
            return extractive_chain(
                found,
                embedder=self._embedder(retriever or self.settings.retriever),
                passages=found.top_k,
                max_sentences=config.max_sentences,
                notes=notes,
                frequencies=None if words is None else self.retriever(words).frequencies,
            )
        from chains.verification import more_passages, verified_chain

        judge = None if verify == "off" else self._judge  # first: it may share the base with the model that answers
        searched = self.retriever(retriever) if context == "retrieved" else None
        chain = self._qa_chain(searched, context)
        if judge is None:
            return chain
        wider: list[AnswerChain] = []
        if verify == "retry" and searched is not None:
            wider = [self._qa_chain(searched, passages=n) for n in more_passages(config.passages, searched.top_k)]
        return verified_chain(chain, judge, verify=verify, wider=wider)

    def agent(self, *, tell: "Callable[[Step], None] | None" = None) -> "AnswerChain":
        """The agent of section ``agent``; it verifies its answers unless ``chain.verify`` is off.

        Args:
            tell: receives each step; by default steps go to ``agent.trace``.

        Raises:
            UserError: ``agent.kind`` is off, the settings leave the agent nothing to work with, the trace cannot be
                written, or the model cannot call tools.
        """
        from chains.agent.grading import Grader, by_judge, by_labels
        from chains.agent.steps import trace_to
        from chains.verification import Verifier

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
                    judge=judge,
                    tell=tell,
                    passages=passages,
                    clean=llm.clean,
                )
        assert_never(config.kind)

    def answerer(self) -> "AnswerChain":
        """What answers single questions: the agent if ``agent.kind`` names one, else the chain.

        Each answer has ``note`` among its notes.

        Raises:
            UserError: see ``chain`` and ``agent``.
        """
        from chains.qa.base import NotedChain

        chain = self.chain() if self.settings.agent.kind == "off" else self.agent()
        return chain if self.note is None else NotedChain(chain, self.note)

    def chat(self, share: Share = unshared) -> "Chat":
        """The conversation of section ``chat``, over the agent or the chain.

        With ``chain.verify: report`` the answer comes first and its verdict after it. With every other policy and with
        an agent, the verdict decides what the answer is, so it comes first.

        Args:
            share: applied to whatever runs a model: answering, judging, rewriting of follow-ups.

        Raises:
            UserError: a model, the data or the conversations' file cannot be used, or the settings need a language
                model and there is none.
        """
        from chains.chat import Chat, Conversations
        from chains.models.base import estimated_tokens
        from chains.qa.base import SharedChain
        from chains.rewriting.followups import as_it_stands, by_rules
        from chains.verification import Verifier

        self._check_model()
        config, verifier = self.settings.chat, None
        if self.settings.agent.kind != "off":
            chain = self.agent()
        elif self.settings.chain.verify == "report" and not self.quotes:
            verifier = _one(share(Verifier(self._judge).verify))
            chain = self.chain(verify="off")
        else:
            chain = self.chain()
        if share is not unshared:
            chain = SharedChain(chain, share)
        if self.quotes:
            return Chat(
                chain,
                Conversations(config.path),
                rewriter=as_it_stands if config.rewrite == "off" else by_rules,
                count=estimated_tokens,
                budget=config.history_tokens,
            )
        llm = self.llm
        written = config.answers == "written" or (config.answers == "auto" and not self._is_tiny)
        return Chat(
            chain,
            Conversations(config.path),
            rewriter=self._rewriter(share),
            verifier=verifier,
            writer=self._writer() if written else None,
            count=lambda text: llm.length(llm.prompts([[{"role": "user", "content": text}]])[0]),
            budget=config.history_tokens if llm.window is None else min(config.history_tokens, llm.window // 4),
        )

    @cached_property
    def _is_tiny(self) -> bool:
        return reads_only_the_sample(self.settings.llm.model)

    @cached_property
    def _loaded(self) -> "LLM":
        """The model as section ``llm`` loads it; use ``llm``, which keeps the judge's adapter off."""
        from chains.models import make_llm

        return make_llm(self.settings.llm, self._cache)

    @cached_property
    def _shared(self) -> "SharedBase":
        """One base that answers without ``nli.adapter`` and judges with it."""
        from chains.models.adapter_switch import share_base
        from chains.models.local import LocalLLM

        if not isinstance(self._loaded, LocalLLM):
            raise UserError(_adapter_on_a_server())
        return share_base(self._loaded, str(self.settings.nli.adapter))

    @cached_property
    def _encoder(self) -> "NLIModel":
        from chains.encoder.classifier import load_classifier

        if self.settings.nli.model is None:
            raise UserError("nli.kind is encoder, and nli.model names none. Set it to a folder or a hub id.")
        return load_classifier(self.settings.nli.model, cache=self._cache)

    @cached_property
    def _judge(self) -> "NLIModel":
        return self.judge()

    def _embedder(self, name: str) -> "Embeddings | None":
        """The embedder of a retriever, or of the first that it builds on; None if it searches by words alone."""
        from retrievers.embedders import make_embedder

        config = self.settings.retrievers[name]
        if (embedder := getattr(config, "embedder", None)) is not None:
            return make_embedder(self.settings.embedders[embedder], self.settings.store)
        return next(filter(None, map(self._embedder, config.builds_on())), None)

    def _make_retrievers(self, names: Sequence[str]) -> "dict[str, Retriever]":
        """New retrievers, cached where there is a cache: at least as deep as the metrics look, except from PubMed."""
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
            if retriever.is_online  # tomorrow it may find something else
            else CachedRetriever(
                retriever, self.corpus.passages, self._cache, identity=self.retriever_identity(name), depth=DEPTH
            )
            for name, retriever in made.items()
        }

    def _qa_chain(
        self, retriever: "Retriever | None", context: "Context" = "retrieved", passages: int | None = None
    ) -> "AnswerChain":
        from chains.qa.chain import qa_chain

        config = self.settings.chain
        return qa_chain(
            self.llm,
            retriever,
            context=context,
            decide=config.decide,
            passages=passages or config.passages,
            prompt_family=self.settings.prompt.family,
        )

    def _check_model(self) -> None:
        """Raise ``UserError`` if the settings need a language model where answers are quotes, or an agent no search."""
        agent, chat = self.settings.agent.kind, self.settings.chat
        if self.quotes:
            needs = {
                f"agent.kind is {agent}": agent != "off",
                "chat.rewrite is llm": chat.rewrite == "llm",
                "chat.answers is written": chat.answers == "written",
            }
            if stated := [text for text, is_so in needs.items() if is_so]:
                raise UserError(
                    f"{' and '.join(stated)}, which takes a language model, and here passages are quoted. Set "
                    "llm.model (medground-tiny reads the sample only: --data sample), or leave that out."
                )
        if agent != "off" and self.settings.chain.context != "retrieved":
            raise UserError(f"agent.kind is {agent}, and an agent searches. Set chain.context to retrieved.")

    def _reword(self) -> "Callable[..., str | None]":
        """What rewrites an agent's query: a real model, else a rule."""
        from chains.rewriting.keywords import by_keywords, by_model

        if self._is_tiny:
            return by_keywords
        from chains.rewriting.wordings import LLMRewriter

        return by_model(LLMRewriter(self.llm, self.settings.prompt.family))

    def _rewriter(self, share: Share) -> "QuestionRewriter":
        """What makes follow-up questions self-contained."""
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
        """What writes answers as sentences."""
        from chains.chat.writer import Writer

        return Writer(self.llm.writer(self.settings.chat.max_new_tokens), self.llm.clean, self.settings.llm.system)


def judging_settings(settings: Settings) -> Settings:
    """Settings of a pipeline that judges and does not answer: ``nli.adapter`` takes the place of ``llm.adapter``.

    Raises:
        UserError: the model is on a server, which loads its adapters itself.
    """
    if settings.nli.kind == "encoder" or settings.nli.adapter is None:
        return settings
    if settings.llm.kind == "openai":
        raise UserError(_adapter_on_a_server())
    return settings.model_copy(
        update={
            "llm": settings.llm.model_copy(update={"adapter": settings.nli.adapter}),
            "nli": settings.nli.model_copy(update={"adapter": None}),
        }
    )


def reads_only_the_sample(model: str) -> bool:
    """Whether ``llm.model`` is medground-tiny, or a folder that ``merge`` made from it."""
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
    """What the model writes after each conversation; an empty text where the window has no room for it."""
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


def _adapter_on_a_server() -> str:
    return (
        "nli.adapter is put on a model that is loaded here, and llm.kind is openai. Leave it out, or set nli.kind to "
        "encoder."
    )
