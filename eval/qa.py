"""The question-answering tasks: which label does a chain give, with which text before it?"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import Runnable

from chains.answer import Answer
from common.errors import UserError
from common.fingerprints import content_key
from corpus.records import LABELS, QARecord
from eval.calibration import calibration_metrics
from eval.metrics import label_metrics, share, unparsed
from eval.progress import chunks_with_progress
from eval.results import TaskResult, check_task_name

CHUNK = 128  # records a call: enough for a chain to sort by length, few enough for the bar to move
_SEED = 7

QAChain = Runnable[Any, Answer]  # Any: chains differ in the exact type of the mapping that they take


def evaluate_qa(
    task: str,
    chain: QAChain,
    records: Sequence[QARecord],
    *,
    identity: Mapping[str, Any],
    quiet: bool = False,
) -> TaskResult:
    """Answer every record's question and score the labels.

    The task's name says what the chain is handed beside the question:

    - ``qa_none`` and ``qa_retrieved_NAME``: nothing, so the gold abstract cannot leak into the answer;
    - ``qa_gold`` and ``qa_gold_VARIANT``: the record's own abstract;
    - ``qa_wrong``: another record's abstract (``wrong_contexts``). The right answer is then "maybe":
      ``share_maybe`` and ``unparsed`` are measured, and no record needs a label.

    An answer without a label is wrong and counted as ``unparsed``; it never becomes "maybe". Where labels are scored,
    ``ece`` and ``brier`` tell how well their probabilities are calibrated.

    Args:
        task: one of the names above.
        chain: built for the task (``context="none"``, ``"gold"`` or ``"retrieved"``); called through ``batch``.
        records: with labels, save for ``qa_wrong``.
        identity: what determines the answers beside the prompt, as plain data (model, adapter, dtype, quantization,
            way of deciding); it enters the samples' keys.
        quiet: no progress bar on stderr.

    Raises:
        UserError: no records, records without labels, a record that the chain cannot answer (it is named), a
            retriever's name that cannot be part of a file name, or too few different abstracts for ``qa_wrong``.
        ValueError: the task's name is none of the above.
    """
    check_task_name(task)
    if not records:
        raise UserError(f"{task}: there are no records to answer. Choose another split or a higher limit.")
    inputs = _inputs(task, records)
    targets = ["maybe"] * len(records) if task == "qa_wrong" else _targets(task, records)
    answers: list[Answer] = []
    for chunk in chunks_with_progress(inputs, CHUNK, task, quiet):
        for answer in chain.batch(chunk, return_exceptions=True):
            if isinstance(answer, UserError):
                raise UserError(f"{task}, record {records[len(answers)].id}: {answer}") from answer
            if isinstance(answer, BaseException):  # Ctrl-C among them: LangChain hands back whatever was raised
                raise answer
            answers.append(answer)
    samples = [
        _sample(record, answer, target, identity)
        for record, answer, target in zip(records, answers, targets, strict=True)
    ]
    predictions = [answer.label for answer in answers]
    if task == "qa_wrong":
        estimates = {"share_maybe": share(predictions, "maybe"), "unparsed": unparsed(predictions)}
    else:
        estimates = label_metrics(targets, predictions, LABELS) | calibration_metrics(samples)
    return TaskResult(task, estimates, samples, sum(answer.reused for answer in answers), identity)


def wrong_contexts(records: Sequence[QARecord]) -> list[QARecord]:
    """For each record another one, whose abstract takes the place of its own; the same on every run.

    Every record is given away exactly once, and never to a record with the same abstract. The records, shuffled by a
    fixed seed, are laid out with equal abstracts side by side and rotated by the size of the largest such group.

    Raises:
        UserError: more than half of the records share one abstract, so that no such assignment exists.
    """
    order = list(range(len(records)))
    random.Random(_SEED).shuffle(order)
    groups: dict[str, list[int]] = {}
    for index in order:
        groups.setdefault(records[index].context, []).append(index)
    largest = max(map(len, groups.values()), default=0)
    if 2 * largest > len(records):
        raise UserError(
            "qa_wrong gives each question another record's abstract, and no abstract may belong to more than half of "
            f"the records; of {len(records)} records {largest} have the same one. Take more records."
        )
    line = [index for group in groups.values() for index in group]
    donors: dict[int, QARecord] = {
        index: records[line[(place + largest) % len(line)]] for place, index in enumerate(line)
    }
    return [donors[index] for index in range(len(records))]


def _inputs(task: str, records: Sequence[QARecord]) -> list[dict[str, str]]:
    if task == "qa_none" or task.startswith("qa_retrieved_"):
        return [{"question": record.question} for record in records]
    if task == "qa_gold" or task.startswith("qa_gold_"):
        sources: Sequence[QARecord] = records
    elif task == "qa_wrong":
        sources = wrong_contexts(records)
    else:
        raise ValueError(f"{task!r} is no question-answering task")
    return [
        {"question": record.question, "context": source.context, "passage_id": source.id}
        for record, source in zip(records, sources, strict=True)
    ]


def _targets(task: str, records: Sequence[QARecord]) -> list[str]:
    without = [record.id for record in records if record.label is None]
    if without:
        raise UserError(
            f"{task}: {len(without)} of {len(records)} records carry no label to compare with (the first is "
            f"{without[0]}). Take labelled records, such as PubMedQA's pqa_labeled."
        )
    return [record.label for record in records if record.label is not None]


def _sample(record: QARecord, answer: Answer, target: str, identity: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt": answer.prompt}
    if answer.prompt is None:  # a chain without a model is determined by what it read
        asked |= {"question": record.question, "passages": [passage.text for passage in answer.passages]}
    return {
        "id": record.id,
        "question": record.question,
        "prompt": answer.prompt,
        "output": answer.output,
        "label_scores": answer.label_scores,
        "prediction": answer.label,
        "target": target,
        "retrieved": [{"id": passage.id, "score": passage.score} for passage in answer.passages],
        "key": content_key(**asked, identity=identity),
        "notes": answer.notes,
    }
