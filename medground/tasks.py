"""The evaluations of the command line: which tasks are run over which records, with which chains."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chains.llm import LocalLLM
from chains.qa import qa_chain
from corpus.pubmedqa import read_records
from corpus.records import QARecord
from corpus.sample import sample_path
from eval.qa import evaluate_qa
from eval.results import TaskResult
from eval.retrieval import evaluate_retrieval
from medground.settings import Settings

if TYPE_CHECKING:
    from retrievers.base import Retriever

UNSEEN = ("newnames", "newphrases")  # the sample's further test files


def measure_retrieval(
    settings: Settings, retrievers: Mapping[str, "Retriever"], records: Sequence[QARecord]
) -> list[TaskResult]:
    """``retrieval_NAME`` for each retriever: does every record's question bring back its own abstract?"""
    return [
        evaluate_retrieval(name, retriever, records, identity=_retriever_identity(settings, name))
        for name, retriever in retrievers.items()
    ]


def measure_qa(
    settings: Settings, llm: LocalLLM, retriever: "Retriever", records: Sequence[QARecord], *, quiet: bool
) -> list[TaskResult]:
    """``qa_none``, ``qa_retrieved_NAME`` (NAME is ``settings.retriever``) and ``qa_gold``.

    On the sample three more: ``qa_gold_newnames``, ``qa_gold_newphrases`` and ``qa_wrong``.

    Raises:
        UserError: records that carry no label.
    """
    model = _model_identity(settings)
    name = settings.retriever
    none, retrieved, gold = (
        qa_chain(
            llm,
            retriever,
            context=context,
            decide=settings.chain.decide,
            passages=settings.chain.passages,
            prompt_family=settings.prompt.family,
        )
        for context in ("none", "retrieved", "gold")
    )
    found = {**model, "passages": settings.chain.passages, "retriever": _retriever_identity(settings, name)}
    tasks = [
        evaluate_qa("qa_none", none, records, identity=model, quiet=quiet),
        evaluate_qa(f"qa_retrieved_{name}", retrieved, records, identity=found, quiet=quiet),
        evaluate_qa("qa_gold", gold, records, identity=model, quiet=quiet),
    ]
    if settings.data.path == "sample":
        for variant in UNSEEN:
            unseen = read_records(sample_path(variant))[: settings.data.limit]
            tasks.append(evaluate_qa(f"qa_gold_{variant}", gold, unseen, identity=model, quiet=quiet))
        if len(records) > 1:  # a single record has no other's abstract
            tasks.append(evaluate_qa("qa_wrong", gold, records, identity=model, quiet=quiet))
    return tasks


def _retriever_identity(settings: Settings, name: str) -> dict[str, Any]:
    """What determines a retriever's results beside question and texts: its settings and its embedder's."""
    config = settings.retrievers[name].model_dump(mode="json")
    embedder = config.get("embedder")
    return config if embedder is None else {**config, "embedder": settings.embedders[embedder].model_dump(mode="json")}


def _model_identity(settings: Settings) -> dict[str, Any]:
    """What determines a model's answers beside the prompt."""
    llm = settings.llm.model_dump(mode="json", exclude={"batch_tokens", "device_map"})
    return {"llm": llm, "decide": settings.chain.decide}
