"""From settings to things that work: retrievers over a corpus, and the chain that answers from it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medground.corpora import Corpus
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.llm import LocalLLM
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
    from chains.llm import load_llm

    return answering_chain(settings, load_llm(settings.llm), retriever)


def answering_chain(settings: Settings, llm: "LocalLLM", retriever: "Retriever | None") -> "AnswerChain":
    """The chain of a loaded model, as the sections ``chain`` and ``prompt`` say."""
    from chains.qa import qa_chain

    return qa_chain(
        llm,
        retriever,
        context=settings.chain.context,
        decide=settings.chain.decide,
        passages=settings.chain.passages,
        prompt_family=settings.prompt.family,
    )


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
