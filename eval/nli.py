"""The inference task: how does each hypothesis relate to its premise?"""

from collections.abc import Mapping, Sequence
from typing import Any

from chains.nli import Judgement, NLIModel
from common.errors import UserError
from common.fingerprints import content_key
from corpus.nli import NLIPair
from eval.calibration import calibration_metrics
from eval.metrics import label_metrics
from eval.progress import chunks_with_progress
from eval.results import TaskResult, check_task_name

CHUNK = 256


def evaluate_nli(
    model: NLIModel,
    pairs: Sequence[NLIPair],
    *,
    identity: Mapping[str, Any],
    task: str = "nli",
    quiet: bool = False,
) -> TaskResult:
    """Judge every pair and score the labels; an answer without a label is wrong and counted as ``unparsed``.

    Where labels are scored, ``ece`` and ``brier`` tell how well their probabilities are calibrated.

    Args:
        model: an LLM with or without an adapter (``chains.nli``) or a sequence classifier; called through ``batch``.
        pairs: whose labels are among the model's.
        identity: what determines the judgements beside the pair, as plain data; it enters the samples' keys.
        task: the task's name.
        quiet: no progress bar on stderr.

    Raises:
        UserError: no pairs, a label that the model does not have, or a pair that it cannot judge (it is named).
    """
    check_task_name(task)
    if not pairs:
        raise UserError(f"{task}: there are no pairs to judge. Choose another split or a higher limit.")
    if foreign := sorted({pair.label for pair in pairs} - set(model.labels)):
        raise UserError(
            f"{task}: the data has the label {foreign[0]}, and the model knows {', '.join(model.labels)}. "
            "Map the data's labels to the model's with pairs.labels."
        )
    judged: list[Judgement] = []
    inputs: list[Mapping[str, str]] = [{"premise": pair.premise, "hypothesis": pair.hypothesis} for pair in pairs]
    for chunk in chunks_with_progress(inputs, CHUNK, task, quiet):
        for judgement in model.batch(chunk, return_exceptions=True):
            if isinstance(judgement, UserError):
                raise UserError(f"{task}, pair {pairs[len(judged)].id}: {judgement}") from judgement
            if isinstance(judgement, BaseException):  # Ctrl-C among them: LangChain hands back whatever was raised
                raise judgement
            judged.append(judgement)
    targets, predictions = [pair.label for pair in pairs], [judgement.label for judgement in judged]
    samples = [_sample(pair, judgement, identity) for pair, judgement in zip(pairs, judged, strict=True)]
    reused = sum(judgement.reused for judgement in judged)
    estimates = label_metrics(targets, predictions, model.labels) | calibration_metrics(samples)
    return TaskResult(task, estimates, samples, reused, identity)


def _sample(pair: NLIPair, judgement: Judgement, identity: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {"prompt": judgement.prompt}
    if judgement.prompt is None:
        asked |= {"premise": pair.premise, "hypothesis": pair.hypothesis}
    return {
        "id": pair.id,
        "premise": pair.premise,
        "hypothesis": pair.hypothesis,
        "prompt": judgement.prompt,
        "output": judgement.output,
        "label_scores": judgement.label_scores,
        "prediction": judgement.label,
        "target": pair.label,
        "retrieved": [],
        "key": content_key(**asked, identity=identity),
        "notes": judgement.notes,
    }
