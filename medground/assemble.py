"""From settings to things that work: retrievers over a corpus, and the chain that answers from it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import UserError
from medground.corpora import Corpus
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.config import Context
    from chains.models.base import LLM
    from chains.nli import NLIModel
    from chains.qa.base import AnswerChain
    from common.result_cache import ResultCache
    from corpus.nli import NLIPair
    from retrievers.base import Retriever

TINY_NOTE = (
    "medground-tiny gave the answers. It reads the sample's language, not real medicine: on other texts its answers "
    "mean nothing. llm.model names a real one."
)
UNVERIFIED_NOTE = "not verified: the answer quotes its evidence and claims nothing beyond it"
ADAPTER_ELSEWHERE = (
    "nli.adapter is put on a model that is loaded here, and llm.kind is openai. Leave it out, or set nli.kind to "
    "encoder."
)
QUOTE_NOTE = "medground-tiny reads the sample only, so your documents are quoted. llm.model names a real model."


def make_chain(settings: Settings, corpus: Corpus, *, quiet: bool) -> "AnswerChain":
    """The answering chain over a corpus, with the retriever that the settings choose."""
    if quotes(settings, corpus):
        from chains.qa.extractive import extractive_chain

        retriever = make_retrievers(settings, corpus, [settings.retriever], quiet=quiet)[settings.retriever]
        sentences = settings.chain.max_sentences
        notes = () if settings.chain.verify == "off" else (UNVERIFIED_NOTE,)
        return extractive_chain(retriever, passages=retriever.top_k, max_sentences=sentences, notes=notes)
    models = load_models(settings)
    if settings.chain.context != "retrieved":
        return answering_chain(settings, models, None)
    found = make_retrievers(settings, corpus, [settings.retriever], llm=models.answering, quiet=quiet)
    return answering_chain(settings, models, found[settings.retriever])


@dataclass(frozen=True)
class Models:
    """What answers, and what judges whether an answer is borne out; None where no answer is verified."""

    answering: "LLM"
    judging: "NLIModel | None" = None


def load_models(settings: Settings, cache: "ResultCache | None" = None) -> Models:
    """The models of the sections ``llm`` and, where ``chain.verify`` wants it, ``nli``.

    An adapter of ``nli`` shares the base with the model that answers: it is loaded once. ``cache`` keeps what the
    models decide.

    Raises:
        UserError: a model or adapter cannot be used.
    """
    from chains.models import make_llm

    llm = make_llm(settings.llm, cache)
    if settings.chain.verify == "off":
        return Models(llm)
    if settings.nli.kind == "encoder":
        return Models(llm, make_nli(settings, cache))
    if settings.nli.adapter is None:
        return Models(llm, judging_chain(settings, llm))
    from chains.models.adapter_switch import share_base
    from chains.models.local import LocalLLM

    if not isinstance(llm, LocalLLM):
        raise UserError(ADAPTER_ELSEWHERE)
    shared = share_base(llm, settings.nli.adapter)
    return Models(shared.answering, judging_chain(settings, shared.judging))


def answering_chain(
    settings: Settings, models: Models, retriever: "Retriever | None", context: "Context | None" = None
) -> "AnswerChain":
    """The chain of loaded models, as the sections ``chain`` and ``prompt`` say; ``context`` in place of theirs."""
    from chains.qa.chain import qa_chain
    from chains.verification import more_passages, verified_chain

    context = context or settings.chain.context

    def reading(passages: int) -> "AnswerChain":
        return qa_chain(
            models.answering,
            retriever,
            context=context,
            decide=settings.chain.decide,
            passages=passages,
            prompt_family=settings.prompt.family,
        )

    chain, verify = reading(settings.chain.passages), settings.chain.verify
    if models.judging is None:
        return chain
    wider: list[AnswerChain] = []
    if verify == "retry" and context == "retrieved" and retriever is not None:
        wider = [reading(count) for count in more_passages(settings.chain.passages, retriever.top_k)]
    return verified_chain(chain, models.judging, verify=verify, wider=wider)


def make_nli(settings: Settings, cache: "ResultCache | None" = None, *, asked: "Sequence[NLIPair]" = ()) -> "NLIModel":
    """The model of section ``nli``, ready to judge pairs; its few-shot examples come from the training pairs.

    ``cache`` keeps what it judges. ``asked`` are the pairs that it is measured on: none of them becomes an example.

    Raises:
        UserError: the model, its adapter or the training pairs cannot be used.
    """
    if settings.nli.kind == "encoder":
        from chains.encoder.classifier import load_classifier

        if settings.nli.model is None:
            raise UserError("nli.kind is encoder, and nli.model names none. Set it to a folder or a hub id.")
        return load_classifier(settings.nli.model, cache=cache)
    from chains.models import make_llm

    adapter = settings.nli.adapter or settings.llm.adapter
    if adapter is not None and settings.llm.kind == "openai":
        raise UserError(ADAPTER_ELSEWHERE)
    return judging_chain(settings, make_llm(settings.llm.model_copy(update={"adapter": adapter}), cache), asked)


def judging_chain(settings: Settings, llm: "LLM", asked: "Sequence[NLIPair]" = ()) -> "NLIModel":
    """The chain by which a loaded model judges pairs, as the sections ``prompt``, ``chain`` and ``pairs`` say.

    ``asked`` are the pairs that it is measured on: none of them becomes a few-shot example.
    """
    from chains.nli import draw_shots, nli_chain
    from corpus.nli import load_pairs

    labels = tuple(dict.fromkeys(settings.pairs.labels.values()))
    shots = []
    if settings.prompt.shots:
        train = load_pairs(settings.pairs.model_copy(update={"limit": None}), "train")
        shots = draw_shots(train.pairs, labels, settings.prompt.shots, asked=asked)
    return nli_chain(llm, labels, shots=shots, decide=settings.chain.decide, prompt_family=settings.prompt.family)


def reads_only_the_sample(model: str) -> bool:
    """Whether a setting ``llm.model`` means medground-tiny, or a folder that an adapter was merged into it in."""
    report = Path(model).expanduser() / "merge.json"
    if model == "embedded" or not report.is_file():
        return model == "embedded"
    from chains.models.local import EMBEDDED
    from common.json_file import read_object

    base = str(read_object(report).get("base"))
    return base == "embedded" or Path(base).parts[-2:] == EMBEDDED.parts[-2:]


def quotes(settings: Settings, corpus: Corpus) -> bool:
    """Whether answers quote the passages: as set, or because only medground-tiny is there for the user's documents."""
    return settings.llm.kind == "extractive" or (corpus.is_users and reads_only_the_sample(settings.llm.model))


def reader_note(settings: Settings, corpus: Corpus | None = None) -> str | None:
    """What a reader of the answers must know about what was searched and who answered; None where there is nothing."""
    searching = settings.llm.kind == "extractive" or settings.chain.context == "retrieved"
    notes = [corpus.note] if searching and corpus is not None and corpus.note is not None else []
    if settings.llm.kind != "extractive" and reads_only_the_sample(settings.llm.model):
        notes.append(QUOTE_NOTE if corpus is not None and corpus.is_users else TINY_NOTE)
    return " ".join(notes) or None


def remembered(
    settings: Settings, retrievers: "Mapping[str, Retriever]", corpus: Corpus, cache: "ResultCache"
) -> "dict[str, Retriever]":
    """The retrievers of ``make_retrievers`` with a cache of what each found, at least as deep as the metrics look.

    What comes from PubMed is not kept: it is not of the corpus, and may be another tomorrow.
    """
    from eval.metrics import DEPTH
    from retrievers.remembered import Remembered

    return {
        name: retriever
        if "pubmed" in _kinds(settings, [name])
        else Remembered(retriever, corpus.passages, cache, identity=retriever_identity(settings, name), depth=DEPTH)
        for name, retriever in retrievers.items()
    }


def retriever_identity(settings: Settings, name: str) -> dict[str, Any]:
    """What determines a retriever's findings beside question and passages: settings, models, what it builds on."""
    from retrievers.config import MultiQueryConfig, RerankConfig, referred

    config = settings.retrievers[name]
    identity: dict[str, Any] = config.model_dump(mode="json", exclude={"top_k"})
    if (embedder := identity.get("embedder")) is not None:
        from retrievers.embedders import fingerprint, make_embedder

        identity["embedder"] = fingerprint(make_embedder(settings.embedders[embedder], settings.store))
    if isinstance(config, RerankConfig):
        from retrievers.rerank import load_reranker

        identity["model"] = load_reranker(config.model, config.dtype, config.against).fingerprint
    if isinstance(config, MultiQueryConfig):
        identity["llm"] = settings.llm.model_dump(mode="json")
    if others := referred(config):
        identity["builds_on"] = {other: retriever_identity(settings, other) for other in others}
    return identity


def make_retrievers(
    settings: Settings, corpus: Corpus, names: Sequence[str], *, llm: "LLM | None" = None, quiet: bool
) -> "dict[str, Retriever]":
    """The named retrievers over a corpus, ready to search; what the store lacks of it is embedded first.

    Args:
        settings: the sections ``retrievers``, ``embedders`` and ``store``.
        corpus: what is searched.
        names: of section ``retrievers``.
        llm: rewrites questions where a retriever wants that; loaded as section ``llm`` says if it is not given.
        quiet: no progress bar.
    """
    from retrievers import make_retrievers

    rewriter = None
    if "multi_query" in _kinds(settings, names):
        from chains.models import make_llm
        from chains.rewriting.wordings import LLMRewriter

        rewriter = LLMRewriter(llm or make_llm(settings.llm), settings.prompt.family)
    return make_retrievers(
        settings.retrievers,
        names,
        corpus.passages,
        corpus=corpus.name,
        embedders=settings.embedders,
        store=settings.store,
        rewriter=rewriter,
        quiet=quiet,
    )


def _kinds(settings: Settings, names: Iterable[str]) -> set[str]:
    """The kinds of the named retrievers and of all that they build on."""
    from retrievers.config import referred

    configs = [settings.retrievers[name] for name in names]
    return {kind for one in configs for kind in (one.kind, *_kinds(settings, referred(one)))}
