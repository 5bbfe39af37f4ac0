"""From settings to things that work: retrievers over a corpus, and the chain that answers from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.errors import UserError
from medground.corpora import Corpus
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.config import Context
    from chains.llm import LocalLLM
    from chains.nli import NLIModel
    from chains.runnable import AnswerChain
    from retrievers.base import Retriever

TINY_NOTE = (
    "medground-tiny gave the answers. It reads the sample's language, not real medicine: on other texts its answers "
    "mean nothing. llm.model names a real one."
)
QUOTE_NOTE = "No language model is set, so the answer quotes your documents. llm.model names one."


def make_chain(settings: Settings, corpus: Corpus, *, quiet: bool) -> "AnswerChain":
    """The answering chain over a corpus, with the retriever that the settings choose."""
    retriever = None
    if settings.chain.context == "retrieved" or quotes(settings, corpus):
        retriever = make_retrievers(settings, corpus, [settings.retriever], quiet=quiet)[settings.retriever]
    if quotes(settings, corpus):
        from chains.extractive import extractive_chain

        assert retriever is not None
        sentences = settings.chain.max_sentences
        return extractive_chain(retriever, passages=retriever.top_k, max_sentences=sentences)
    return answering_chain(settings, load_models(settings), retriever)


@dataclass(frozen=True)
class Models:
    """What answers, and what judges whether an answer is borne out; None where no answer is verified."""

    answering: "LocalLLM"
    judging: "NLIModel | None" = None


def load_models(settings: Settings) -> Models:
    """The models of the sections ``llm`` and, where ``chain.verify`` wants it, ``nli``.

    An adapter of ``nli`` shares the base with the model that answers: it is loaded once.

    Raises:
        UserError: a model or adapter cannot be used.
    """
    from chains.llm import load_llm

    llm = load_llm(settings.llm)
    if settings.chain.verify == "off":
        return Models(llm)
    if settings.nli.kind == "encoder":
        return Models(llm, make_nli(settings))
    if settings.nli.adapter is None:
        return Models(llm, judging_chain(settings, llm))
    from chains.shared import share_base

    shared = share_base(llm, settings.nli.adapter)
    return Models(shared.answering, judging_chain(settings, shared.judging))


def answering_chain(
    settings: Settings, models: Models, retriever: "Retriever | None", context: "Context | None" = None
) -> "AnswerChain":
    """The chain of loaded models, as the sections ``chain`` and ``prompt`` say; ``context`` in place of theirs."""
    from chains.qa import qa_chain
    from chains.verified import more_passages, verified_chain

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


def make_nli(settings: Settings) -> "NLIModel":
    """The model of section ``nli``, ready to judge pairs; its few-shot examples come from the training pairs.

    Raises:
        UserError: the model, its adapter or the training pairs cannot be used.
    """
    if settings.nli.kind == "encoder":
        from chains.classifier import load_classifier

        if settings.nli.model is None:
            raise UserError("nli.kind is encoder, and nli.model names none. Set it to a folder or a hub id.")
        return load_classifier(settings.nli.model)
    from chains.llm import load_llm

    adapter = settings.nli.adapter or settings.llm.adapter
    return judging_chain(settings, load_llm(settings.llm.model_copy(update={"adapter": adapter})))


def judging_chain(settings: Settings, llm: "LocalLLM") -> "NLIModel":
    """The chain by which a loaded model judges pairs, as the sections ``prompt``, ``chain`` and ``pairs`` say."""
    from chains.nli import draw_shots, nli_chain
    from corpus.nli import load_pairs

    labels = tuple(dict.fromkeys(settings.pairs.labels.values()))
    shots = []
    if settings.prompt.shots:
        train = load_pairs(settings.pairs.model_copy(update={"limit": None}), "train")
        shots = draw_shots(train.pairs, labels, settings.prompt.shots)
    return nli_chain(llm, labels, shots=shots, decide=settings.chain.decide, prompt_family=settings.prompt.family)


def quotes(settings: Settings, corpus: Corpus) -> bool:
    """Whether answers quote the passages: as set, or because only medground-tiny is there for the user's documents."""
    return settings.llm.kind == "extractive" or (corpus.is_users and settings.llm.model == "embedded")


def reader_note(settings: Settings, corpus: Corpus | None = None) -> str | None:
    """What a reader of the answers must know about where they come from; None where a real model gave them."""
    if settings.llm.kind == "extractive" or settings.llm.model != "embedded":
        return None
    return QUOTE_NOTE if corpus is not None and corpus.is_users else TINY_NOTE


def make_retrievers(settings: Settings, corpus: Corpus, names: Sequence[str], *, quiet: bool) -> "dict[str, Retriever]":
    """The named retrievers over a corpus, ready to search; what the store lacks of it is embedded first."""
    from retrievers import make_retriever

    return {
        name: make_retriever(
            settings.retrievers[name],
            corpus.passages,
            corpus=corpus.name,
            embedders=settings.embedders,
            store=settings.store,
            quiet=quiet,
        )
        for name in names
    }
