"""Models and retrievers of one ``Settings`` object over one corpus."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from common.errors import UserError
from medground.ingest import Corpus, searched_corpus
from medground.settings import Settings, Tree, load_settings
from medground.tiny import QUOTE_NOTE, TINY_JUDGE_NOTE, TINY_NOTE, TINY_WARNING, is_tiny

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

JUDGE_UNAVAILABLE = (
    "Checking statements needs an NLI model, and the settings have none: {why}. Set nli.kind to encoder and "
    "nli.model to a sequence classifier (a folder of `medground train encoder`, or a hub id), or llm.model to a real "
    "language model, with its adapter in nli.adapter if it has one."
)
ADAPTER_UNAVAILABLE = (
    "nli.adapter needs llm.kind huggingface, but llm.kind is {kind}. Remove nli.adapter, or set nli.kind to encoder."
)


class Components:
    """Models and retrievers of one ``Settings`` object over one corpus, each loaded at first use.

    Attributes:
        settings: all sections.
        quiet: whether progress bars are off.
    """

    def __init__(self, settings: Settings, corpus: Corpus | None, cache: "ResultCache | None", quiet: bool) -> None:
        """Call ``from_settings`` instead."""
        self.settings, self.quiet = settings, quiet
        self._corpus, self._cache = corpus, cache
        self._retrievers: dict[str, Retriever] = {}

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
            corpus: the passages to search; by default those of ``searched_corpus``.
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
        components = cls(settings, corpus, cache, quiet)
        components._retrievers |= retrievers or {}
        return components

    def with_corpus(self, corpus: Corpus, settings: Settings) -> Self:
        """A new object for another corpus and other settings, with the same result cache."""
        return type(self)(settings, corpus, self._cache, self.quiet)

    @cached_property
    def corpus(self) -> Corpus:
        """The searched passages."""
        return self._corpus or searched_corpus(self.settings)

    @cached_property
    def is_tiny(self) -> bool:
        """Whether the language model is medground-tiny."""
        return is_tiny(self.settings.llm.model)

    @cached_property
    def answers_are_quotes(self) -> bool:
        """Whether answers are quotes: with ``llm.kind: extractive``, or medground-tiny over the user's documents."""
        return self.settings.llm.kind == "extractive" or (self.corpus.is_users_documents and self.is_tiny)

    @cached_property
    def note(self) -> str | None:
        """The note on corpus and language model that is shown with answers; None for no note."""
        has_llm = self.settings.llm.kind != "extractive"
        searches = not has_llm or self.settings.chain.context == "retrieved"
        tiny_note = QUOTE_NOTE if self.answers_are_quotes else TINY_NOTE
        return _joined(self.corpus.note if searches else None, tiny_note if has_llm and self.is_tiny else None)

    @property
    def check_note(self) -> str | None:
        """The note on corpus and NLI model that is shown with checks; None for no note."""
        tiny_judges = self.settings.nli.kind == "llm" and self.is_tiny
        return _joined(self.corpus.note, TINY_JUDGE_NOTE if tiny_judges else None)

    @property
    def about(self) -> dict[str, str]:
        """Names of ``llm``, ``retriever`` and, if there is one, ``agent``, for display."""
        model = "none: quotes" if self.answers_are_quotes else self.settings.llm.model
        searches = self.answers_are_quotes or self.settings.chain.context == "retrieved"
        names = {
            "llm": "medground-tiny" if model == "embedded" else model,
            "retriever": self.settings.retriever if searches else "none",
        }
        return names if self.settings.agent.kind == "off" else {**names, "agent": self.settings.agent.kind}

    @property
    def llm(self) -> "LLM":
        """The answering model; warns if it is medground-tiny and the user's documents are searched."""
        if self.is_tiny and self.corpus.is_users_documents:
            warnings.warn(TINY_WARNING, stacklevel=2)
        return self.answering_model

    @property
    def answering_model(self) -> "LLM":
        """The answering model; unlike ``llm``, this property does not warn."""
        return self._shared_base.answering if "_shared_base" in vars(self) else self._base_llm

    def judge(
        self, evaluated_pairs: "Sequence[NLIPair]" = (), *, shots: int | None = None, adapter: bool = True
    ) -> "NLIModel":
        """The NLI model of section ``nli``.

        With ``nli.adapter`` the language model is loaded once; the adapter is enabled for NLI pairs and disabled for
        answers. Chains that were made before the judge must not run at the same time as the judge.

        Args:
            evaluated_pairs: pairs whose premises are not used in few-shot examples.
            shots: training pairs per label in the prompt; by default ``prompt.shots``.
            adapter: False disables ``nli.adapter``.
        """
        from chains.nli import CalibratedNLI, draw_shots, nli_chain
        from corpus.inference.pairs import load_pairs

        settings, nli = self.settings, self.settings.nli
        if nli.kind == "encoder":
            model = self._encoder
        else:
            llm = self._shared_base.judging if adapter and nli.adapter is not None else self.answering_model
            labels = tuple(dict.fromkeys(settings.pairs.labels.values()))
            examples = []
            if count := settings.prompt.shots if shots is None else shots:
                train = load_pairs(settings.pairs.model_copy(update={"limit": None}), "train")
                examples = draw_shots(train.pairs, labels, count, test_pairs=evaluated_pairs)
            decide, family = settings.chain.decide, settings.prompt.family
            model = nli_chain(llm, labels, shots=examples, decide=decide, prompt_family=family)
        return model if nli.temperature == 1 else CalibratedNLI(model, nli.temperature)

    def checker(self, *, retriever: str | None = None, searches: bool = True, with_note: bool = True) -> "Checker":
        """A checker of statements against passages, with the NLI model and section ``check``.

        Args:
            retriever: the name of a retriever; by default the setting ``retriever``.
            searches: False for a checker without a retriever; each statement then needs a context.
            with_note: whether each result has ``check_note`` among its notes.

        Raises:
            UserError: the settings have no NLI model for the passages, or a model, the data or the store cannot be
                used.
        """
        from chains.verification.statements import make_checker

        if self.judge_unavailable_reason is not None:
            raise UserError(self.judge_unavailable_reason)
        judge = self._judge
        name = retriever or self.settings.retriever
        notes = (self.check_note,) if with_note and self.check_note is not None else ()
        searched = self.retriever(name) if searches else None
        return make_checker(searched, judge, self.settings.check, embedder=self._embedder(name), notes=notes)

    @property
    def judge_unavailable_reason(self) -> str | None:
        """Why the settings have no NLI model for this corpus; None if they have one."""
        nli = self.settings.nli
        if nli.kind == "encoder":
            return None
        if self.settings.llm.kind == "extractive":
            return JUDGE_UNAVAILABLE.format(why="llm.kind is extractive")
        if self.is_tiny and self.corpus.is_users_documents and nli.adapter is None:
            return JUDGE_UNAVAILABLE.format(why="medground-tiny reads the sample only, and your documents are searched")
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
        """The settings that a retriever's results depend on, for cache keys and results files."""
        from retrievers.registry import Context, identify

        settings = self.settings
        rewriter = settings.llm.model_dump(mode="json")
        context = Context((), "", settings.embedders, settings.store, rewriter_identity=rewriter)
        return identify(name, settings.retrievers, context)

    def _make_retrievers(self, names: Sequence[str]) -> "dict[str, Retriever]":
        """New retrievers. With a result cache, each caches as many results per question as the ranking metrics read."""
        from retrievers.registry import kinds_of, make_retrievers

        rewriter = None
        if "multi_query" in kinds_of(self.settings.retrievers, names):
            from chains.rewriting.wordings import LLMRewriter

            rewriter = LLMRewriter(self.answering_model, self.settings.prompt.family)
        retrievers = make_retrievers(
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
            return retrievers
        from eval.stats.metrics import DEPTH
        from retrievers.cached import CachedRetriever

        return {
            name: retriever
            if retriever.is_online  # not cached: its results may change from day to day
            else CachedRetriever(
                retriever, self.corpus.passages, self._cache, identity=self.retriever_identity(name), depth=DEPTH
            )
            for name, retriever in retrievers.items()
        }

    def _quote_embedder(self, retriever: str) -> "Embeddings | None":
        """The embedder that ranks quotes: ``chain.quote_embedder`` if it is set, else the embedder of ``retriever``."""
        from retrievers.embedders import make_embedder

        if (name := self.settings.chain.quote_embedder) is None:
            return self._embedder(retriever)
        return make_embedder(self.settings.embedders[name], self.settings.store)

    def _quote_relevance(self) -> "Relevance | None":
        """The scoring function of ``chain.quote_cross_encoder``; None without one."""
        if (model := self.settings.chain.quote_cross_encoder) is None:
            return None
        from retrievers.kinds.rerank import RerankConfig, load_reranker

        defaults = RerankConfig(retriever=self.settings.retriever, model=model)
        return load_reranker(model, defaults.dtype, defaults.against).relevance

    def _embedder(self, retriever: str) -> "Embeddings | None":
        """The first embedder of a retriever or of those that it builds on; None if all of them search by words."""
        from retrievers.embedders import make_embedder

        config = self.settings.retrievers[retriever]
        if (name := getattr(config, "embedder", None)) is not None:
            return make_embedder(self.settings.embedders[name], self.settings.store)
        return next(filter(None, map(self._embedder, config.builds_on())), None)

    @cached_property
    def _base_llm(self) -> "LLM":
        """The model of section ``llm``. Use ``llm`` instead, since ``_shared_base`` adds an adapter to this model."""
        from chains.models import make_llm

        return make_llm(self.settings.llm, self._cache)

    @cached_property
    def _shared_base(self) -> "SharedBase":
        """One base model in memory that answers without ``nli.adapter`` and judges with it."""
        from chains.models.adapter_switch import share_base
        from chains.models.local import LocalLLM

        if not isinstance(self._base_llm, LocalLLM):
            raise UserError(ADAPTER_UNAVAILABLE.format(kind=self.settings.llm.kind))
        return share_base(self._base_llm, str(self.settings.nli.adapter))

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
    """Settings of a pipeline that classifies NLI pairs only: ``nli.adapter`` replaces ``llm.adapter``."""
    if settings.nli.kind == "encoder" or settings.nli.adapter is None:
        return settings
    if settings.llm.kind in ("openai", "llamacpp"):
        raise UserError(ADAPTER_UNAVAILABLE.format(kind=settings.llm.kind))
    return settings.model_copy(
        update={
            "llm": settings.llm.model_copy(update={"adapter": settings.nli.adapter}),
            "nli": settings.nli.model_copy(update={"adapter": None}),
        }
    )


def _joined(*notes: str | None) -> str | None:
    return " ".join(filter(None, notes)) or None
