"""The evaluations of the command line: which tasks are run over which records, with which chains."""

from collections.abc import Iterator, Sequence
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
from medground.pipeline import Pipeline
from medground.settings import Settings

if TYPE_CHECKING:
    from chains.config import Context
    from chains.nli import NLIModel
    from corpus.nli import PairData

UNSEEN = ("newnames", "newphrases")  # the sample's further test files


def measure_retrieval(
    pipeline: Pipeline, records: Sequence[QARecord], names: Sequence[str] | None = None
) -> list[TaskResult]:
    """``retrieval_NAME`` for each retriever: does every record's question bring back its own abstract?"""
    return [
        evaluate_retrieval(name, retriever, records, identity=pipeline.retriever_identity(name))
        for name, retriever in pipeline.retrievers(names).items()
    ]


def measure_answers(
    pipeline: Pipeline,
    records: Sequence[QARecord],
    retrievers: Sequence[str],
    *,
    contexts: Sequence["Context"] = ("none", "retrieved", "gold"),
) -> Iterator[TaskResult]:
    """``qa_none``, ``qa_retrieved_NAME`` for each retriever, ``qa_gold``: what ``contexts`` says, one after the other.

    Answers are taken as the model gives them; ``measure_verified`` measures what verification makes of them.

    Raises:
        UserError: records that carry no label.
    """
    model = _model_identity(pipeline)
    for context in contexts:
        for name in retrievers if context == "retrieved" else [None]:
            identity = model if name is None else {**model, **_found_identity(pipeline, name)}
            chain = pipeline.chain(context, retriever=name, verify="off")
            task = f"qa_{context}" if name is None else f"qa_{context}_{name}"
            yield evaluate_qa(task, chain, records, identity=identity, quiet=pipeline.quiet)


def measure_qa(pipeline: Pipeline, records: Sequence[QARecord]) -> list[TaskResult]:
    """``qa_none``, ``qa_retrieved_NAME`` (NAME is ``settings.retriever``) and ``qa_gold``.

    On the sample three more: ``qa_gold_newnames``, ``qa_gold_newphrases`` and ``qa_wrong``.

    Raises:
        UserError: records that carry no label.
    """
    settings, quiet = pipeline.settings, pipeline.quiet
    tasks = list(measure_answers(pipeline, records, [settings.retriever]))
    if settings.data.path == "sample":
        model = _model_identity(pipeline)
        gold = pipeline.chain("gold", verify="off")
        for variant in UNSEEN:
            unseen = read_records(sample_path(variant))[: settings.data.limit]
            tasks.append(evaluate_qa(f"qa_gold_{variant}", gold, unseen, identity=model, quiet=quiet))
        if len(records) > 1:  # a single record has no other's abstract
            tasks.append(evaluate_qa("qa_wrong", gold, records, identity=model, quiet=quiet))
    return tasks


def measure_verified(pipeline: Pipeline, records: Sequence[QARecord]) -> list[TaskResult]:
    """``verified_retrieved_NAME``, ``verified_gold``, ``verified_wrong``, ``verified_swapped``; none without a judge.

    Every answer is scored with its verdict, also what ``chain.verify: abstain`` would withhold: the risk at each
    coverage says what withholding brings.
    """
    verify, name, quiet = pipeline.settings.chain.verify, pipeline.settings.retriever, pipeline.quiet
    if verify == "off":
        return []
    judge = pipeline.judge()
    identity = {**_model_identity(pipeline), "nli": judge.fingerprint}
    found = {**identity, "verify": verify, **_found_identity(pipeline, name)}
    gold = pipeline.chain("gold", verify="report")
    unverified = pipeline.chain("gold", verify="off")
    retrieved = pipeline.chain("retrieved", verify="retry" if verify == "retry" else "report")
    tasks = [
        evaluate_verified(f"verified_retrieved_{name}", retrieved, records, identity=found, quiet=quiet),
        evaluate_verified("verified_gold", gold, records, identity=identity, quiet=quiet),
    ]
    if len(records) > 1:
        tasks.append(evaluate_verified("verified_wrong", gold, records, identity=identity, quiet=quiet))
        verifier = Verifier(judge)
        tasks.append(evaluate_swapped(unverified, verifier, records, identity=identity, quiet=quiet))
    return tasks


def measure_nli(pipeline: Pipeline, model: "NLIModel", pairs: "PairData", *, task: str = "nli") -> TaskResult:
    """``nli``, or as ``task`` names it: how does each hypothesis relate to its premise?

    Raises:
        UserError: a label that the model does not have, or a pair that it cannot judge.
    """
    settings = pipeline.settings
    dtype = _dtype(settings) if settings.nli.kind == "llm" else {}
    identity = {"nli": model.fingerprint, "decide": settings.chain.decide, **dtype}
    return evaluate_nli(model, pairs.pairs, identity=identity, task=task, quiet=pipeline.quiet)


def _found_identity(pipeline: Pipeline, name: str) -> dict[str, Any]:
    """What determines the passages that a model reads beside question and corpus."""
    return {"passages": pipeline.settings.chain.passages, "retriever": pipeline.retriever_identity(name)}


def _model_identity(pipeline: Pipeline) -> dict[str, Any]:
    """What determines a model's answers beside the prompt."""
    settings = pipeline.settings
    return {"llm": pipeline.llm.fingerprint, "decide": settings.chain.decide, **_dtype(settings)}


def _dtype(settings: Settings) -> dict[str, str]:
    """What a model on this machine computes in: ``auto`` is measured, and may be another tomorrow."""
    if settings.llm.kind != "huggingface":
        return {}
    from chains.models.local import resolve_dtype

    return {"dtype": str(resolve_dtype(settings.llm)).removeprefix("torch.")}
