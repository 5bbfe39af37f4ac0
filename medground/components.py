"""Models and retrievers of one set of settings over one corpus."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from common.errors import UserError
from medground.ingest import Corpus, searched_corpus
from medground.settings import Settings, Tree, load_settings
from medground.tiny import QUOTE_NOTE, TINY_JUDGE_NOTE, TINY_NOTE, is_tiny

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

    from chains.citations import Relevance
    from chains.models.adapter_switch import SharedBase
    from chains.models.base import LLM
    from chains.nli import NLIModel
    from chains.verification.statements import Checker
    from common.result_cache import ResultCache
    from corpus.inference.pairs import NLIPair
    from retrievers.base import Retriever

NO_JUDGE = (
    "Checking statements needs an NLI model, and the settings have none: {why}. Set nli.kind to encoder and "
    "nli.model to a sequence classifier (a folder of `medground train encoder`, or a hub id), or llm.model to a real "
    "language model, with its adapter in nli.adapter if it has one."
)
NO_ADAPTER = (
    "nli.adapter needs llm.kind huggingface, but llm.kind is {kind}. Remove nli.adapter, or set nli.kind to encoder."
)


class Components:
    """Models and retrievers of one set of settings over one corpus, each loaded at first use.

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
        """Make an object without loading anything.

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

    def over(self, corpus: Corpus, settings: Settings) -> Self:
        """The same for other settings and another corpus, with the same result cache."""
        return type(self)(settings, corpus, cache=self._cache, quiet=self.quiet)

    @cached_property
    def corpus(self) -> Corpus:
        """The searched passages."""
        return self._given_corpus or searched_corpus(self.settings)

    @cached_property
    def is_tiny(self) -> bool:
        """Whether the language model is medground-tiny."""
        return is_tiny(self.settings.llm.model)

    @cached_property
    def quotes(self) -> bool:
        """Whether answers are quoted sentences: by setting, or for medground-tiny over the user's documents."""
        return self.settings.llm.kind == "extractive" or (self.corpus.is_users and self.is_tiny)

    @cached_property
    def note(self) -> str | None:
        """A note on corpus and model for readers of the answers, if there is one."""
        llm = self.settings.llm.kind != "extractive"
        searches = not llm or self.settings.chain.context == "retrieved"
        tiny_note = QUOTE_NOTE if self.quotes else TINY_NOTE
        return _joined(self.corpus.note if searches else None, tiny_note if llm and self.is_tiny else None)

    @property
    def check_note(self) -> str | None:
        """The note on corpus and NLI model that is shown with checks; None for no note."""
        tiny = self.settings.nli.kind == "llm" and self.is_tiny
        return _joined(self.corpus.note, TINY_JUDGE_NOTE if tiny else None)

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
        """The answering model."""
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
        """
        from chains.nli import CalibratedNLI

        model = self._uncalibrated(measured, shots, adapter=adapter)
        temperature = self.settings.nli.temperature
        return model if temperature == 1 else CalibratedNLI(model, temperature)

    def _uncalibrated(self, measured: "Sequence[NLIPair]", shots: int | None, *, adapter: bool) -> "NLIModel":
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
            examples = draw_shots(train.pairs, labels, count, test_pairs=measured)
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
        if self.is_tiny and self.corpus.is_users and nli.adapter is None:
            return NO_JUDGE.format(why="medground-tiny reads the sample only, and your documents are searched")
        return None

    def retriever(self, name: str | None = None) -> "Retriever":
        """A retriever by name, by default that of the setting ``retriever``; see ``retrievers``."""
        name = name or self.settings.retriever
        return self.retrievers([name])[name]

    def retrievers(self, names: Sequence[str] | None = None) -> "dict[str, Retriever]":
        """Retrievers by name, by default all. Passages missing from the store are embedded first."""
        names = list(self.settings.retrievers) if names is None else names
        if missing := [name for name in names if name not in self._retrievers]:
            self._retrievers |= self._make_retrievers(missing)
        return {name: self._retrievers[name] for name in names}

    def retriever_identity(self, name: str) -> dict[str, Any]:
        """What determines a retriever's results besides question and passages."""
        from retrievers.registry import Context, identify

        settings = self.settings
        rewriter = settings.llm.model_dump(mode="json")
        context = Context((), "", settings.embedders, settings.store, rewriter_identity=rewriter)
        return identify(name, settings.retrievers, context)

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

    def _quote_embedder(self, name: str) -> "Embeddings | None":
        """The embedder that ranks quotes: ``chain.quote_embedder``, or that of a retriever."""
        from retrievers.embedders import make_embedder

        if (named := self.settings.chain.quote_embedder) is None:
            return self._embedder(name)
        return make_embedder(self.settings.embedders[named], self.settings.store)

    def _quote_relevance(self) -> "Relevance | None":
        """The scores of ``chain.quote_cross_encoder``."""
        if (model := self.settings.chain.quote_cross_encoder) is None:
            return None
        from retrievers.kinds.rerank import RerankConfig, load_reranker

        defaults = RerankConfig(retriever=self.settings.retriever, model=model)
        return load_reranker(model, defaults.dtype, defaults.against).relevance

    def _embedder(self, name: str) -> "Embeddings | None":
        """The embedder of a retriever, or of the first that it builds on; None if it searches by words alone."""
        from retrievers.embedders import make_embedder

        config = self.settings.retrievers[name]
        if (embedder := getattr(config, "embedder", None)) is not None:
            return make_embedder(self.settings.embedders[embedder], self.settings.store)
        return next(filter(None, map(self._embedder, config.builds_on())), None)

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
            raise UserError(NO_ADAPTER.format(kind=self.settings.llm.kind))
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


def judging_settings(settings: Settings) -> Settings:
    """Settings of a pipeline that only judges: ``nli.adapter`` replaces ``llm.adapter``."""
    if settings.nli.kind == "encoder" or settings.nli.adapter is None:
        return settings
    if settings.llm.kind in ("openai", "llamacpp"):
        raise UserError(NO_ADAPTER.format(kind=settings.llm.kind))
    return settings.model_copy(
        update={
            "llm": settings.llm.model_copy(update={"adapter": settings.nli.adapter}),
            "nli": settings.nli.model_copy(update={"adapter": None}),
        }
    )


def _joined(*notes: str | None) -> str | None:
    return " ".join(filter(None, notes)) or None
