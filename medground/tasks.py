"""The evaluations of the command line: which tasks are run over which records, with which chains."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from chains.verification import Verifier
from corpus.pubmedqa import read_records
from corpus.records import QARecord
from corpus.sample import sample_path
from eval.nli import evaluate_nli
from eval.qa import evaluate_qa
from eval.results import TaskResult
from eval.retrieval import evaluate_retrieval
from eval.verified import evaluate_swapped, evaluate_verified
from medground.assemble import Models, answering_chain, retriever_identity
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.config import Context
    from chains.nli import NLIModel
    from corpus.nli import PairData
    from retrievers.base import Retriever

UNSEEN = ("newnames", "newphrases")  # the sample's further test files


def measure_retrieval(
    settings: Settings, retrievers: Mapping[str, "Retriever"], records: Sequence[QARecord]
) -> list[TaskResult]:
    """``retrieval_NAME`` for each retriever: does every record's question bring back its own abstract?"""
    return [
        evaluate_retrieval(name, retriever, records, identity=retriever_identity(settings, name))
        for name, retriever in retrievers.items()
    ]


def measure_answers(
    settings: Settings,
    models: Models,
    retrievers: Mapping[str, "Retriever"],
    records: Sequence[QARecord],
    *,
    contexts: Sequence["Context"] = ("none", "retrieved", "gold"),
    quiet: bool,
) -> Iterator[TaskResult]:
    """``qa_none``, ``qa_retrieved_NAME`` for each retriever, ``qa_gold``: what ``contexts`` says, one after the other.

    Answers are taken as the model gives them; ``measure_verified`` measures what verification makes of them.

    Raises:
        UserError: records that carry no label.
    """
    unverified = replace(models, judging=None)
    model = _model_identity(settings, models)
    for context in contexts:
        for name, retriever in retrievers.items() if context == "retrieved" else [("", None)]:
            identity = model if retriever is None else {**model, **_found_identity(settings, name)}
            chain = answering_chain(settings, unverified, retriever, context)
            task = f"qa_{context}_{name}".removesuffix("_")
            yield evaluate_qa(task, chain, records, identity=identity, quiet=quiet)


def measure_qa(
    settings: Settings, models: Models, retriever: "Retriever", records: Sequence[QARecord], *, quiet: bool
) -> list[TaskResult]:
    """``qa_none``, ``qa_retrieved_NAME`` (NAME is ``settings.retriever``) and ``qa_gold``.

    On the sample three more: ``qa_gold_newnames``, ``qa_gold_newphrases`` and ``qa_wrong``.

    Raises:
        UserError: records that carry no label.
    """
    tasks = list(measure_answers(settings, models, {settings.retriever: retriever}, records, quiet=quiet))
    if settings.data.path == "sample":
        model = _model_identity(settings, models)
        gold = answering_chain(settings, replace(models, judging=None), None, "gold")
        for variant in UNSEEN:
            unseen = read_records(sample_path(variant))[: settings.data.limit]
            tasks.append(evaluate_qa(f"qa_gold_{variant}", gold, unseen, identity=model, quiet=quiet))
        if len(records) > 1:  # a single record has no other's abstract
            tasks.append(evaluate_qa("qa_wrong", gold, records, identity=model, quiet=quiet))
    return tasks


def measure_verified(
    settings: Settings, models: Models, retriever: "Retriever", records: Sequence[QARecord], *, quiet: bool
) -> list[TaskResult]:
    """``verified_retrieved_NAME``, ``verified_gold``, ``verified_wrong``, ``verified_swapped``; none without a judge.

    Every answer is scored with its verdict, also what ``chain.verify: abstain`` would withhold: the risk at each
    coverage says what withholding brings.
    """
    if models.judging is None:
        return []
    name = settings.retriever
    identity = {**_model_identity(settings, models), "nli": models.judging.fingerprint}
    found = {**identity, "verify": settings.chain.verify, **_found_identity(settings, name)}
    report = settings.chain.model_copy(update={"verify": "report"})
    reporting = settings.model_copy(update={"chain": report})
    retrying = settings if settings.chain.verify == "retry" else reporting
    gold = answering_chain(reporting, models, None, "gold")
    unverified = answering_chain(reporting, replace(models, judging=None), None, "gold")
    retrieved = answering_chain(retrying, models, retriever, "retrieved")
    tasks = [
        evaluate_verified(f"verified_retrieved_{name}", retrieved, records, identity=found, quiet=quiet),
        evaluate_verified("verified_gold", gold, records, identity=identity, quiet=quiet),
    ]
    if len(records) > 1:
        tasks.append(evaluate_verified("verified_wrong", gold, records, identity=identity, quiet=quiet))
        verifier = Verifier(models.judging)
        tasks.append(evaluate_swapped(unverified, verifier, records, identity=identity, quiet=quiet))
    return tasks


def measure_nli(
    settings: Settings, model: "NLIModel", pairs: "PairData", *, task: str = "nli", quiet: bool
) -> TaskResult:
    """``nli``, or as ``task`` names it: how does each hypothesis relate to its premise?

    Raises:
        UserError: a label that the model does not have, or a pair that it cannot judge.
    """
    dtype = _dtype(settings) if settings.nli.kind == "llm" else {}
    identity = {"nli": model.fingerprint, "decide": settings.chain.decide, **dtype}
    return evaluate_nli(model, pairs.pairs, identity=identity, task=task, quiet=quiet)


def _found_identity(settings: Settings, name: str) -> dict[str, Any]:
    """What determines the passages that a model reads beside question and corpus."""
    return {"passages": settings.chain.passages, "retriever": retriever_identity(settings, name)}


def _model_identity(settings: Settings, models: Models) -> dict[str, Any]:
    """What determines a model's answers beside the prompt."""
    return {"llm": models.answering.fingerprint, "decide": settings.chain.decide, **_dtype(settings)}


def _dtype(settings: Settings) -> dict[str, str]:
    """What a model on this machine computes in: ``auto`` is measured, and may be another tomorrow."""
    if settings.llm.kind != "huggingface":
        return {}
    from chains.models.local import resolve_dtype

    return {"dtype": str(resolve_dtype(settings.llm)).removeprefix("torch.")}
