"""Natural language inference."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from pydantic import Field

from chains.nli import Judgement, NLIModel
from common.errors import UserError
from common.fingerprints import content_key
from corpus.inference.pairs import NLIPair
from eval.results import TaskResult
from eval.tasks.base import INFERENCE, Resources, Section, Task, run_batches

CHUNK = 256  # pairs per call of the model


class NLITask(Task):
    """Classifies premise-hypothesis pairs; an answer without a label is wrong and counted as ``unparsed``.

    The name is ``nli``, ``nli_Kshot``, ``nli_tuned`` or ``nli_TAG``.

    Attributes:
        shots: examples per label in the prompt; by default ``prompt.shots``.
        tuned: whether the model has ``nli.adapter`` or is a sequence classifier; by default as in the settings.
        tag: a name for the state of the model, such as "before" training.
    """

    kind: ClassVar[str] = "nli"
    section: ClassVar[Section] = INFERENCE

    context: None = None
    retriever: None = None
    variant: None = None
    shots: int | None = Field(default=None, ge=0)
    tuned: bool | None = None
    tag: str | None = None

    @property
    def _name_parts(self) -> tuple[str | None, ...]:
        return f"{self.shots}shot" if self.shots else None, "tuned" if self.tuned else None, self.tag

    @property
    def condition(self) -> str:
        """The title, as far as the task's fields determine it: settings are disregarded."""
        return self.title({})

    def title(self, config: Mapping[str, Any]) -> str:
        """The tag, "tuned", or the number of examples per label, such as "3-shot"."""
        nli, prompt = config.get("nli") or {}, config.get("prompt") or {}
        is_tuned, shots = self.tuned, self.shots
        if shots is None and is_tuned is None:
            is_tuned = nli.get("kind") == "encoder" or bool(nli.get("adapter"))
            shots = prompt.get("shots")
        return self.tag or ("tuned" if is_tuned else f"{shots}-shot" if shots else "zero-shot")

    def run(self, resources: Resources) -> TaskResult:
        """Measure the NLI model of the settings."""
        judge = resources.judge(self.shots, self.tuned)
        return self.evaluate(judge.model, resources.pairs(), identity=judge.identity, quiet=resources.quiet)

    def evaluate(
        self, model: NLIModel, pairs: Sequence[NLIPair], *, identity: Mapping[str, Any], quiet: bool = False
    ) -> TaskResult:
        """Classify every pair and score the labels.

        ``identity`` is everything besides the pair that determines a label; see ``TaskResult``.

        Raises:
            UserError: no pairs, an unknown label, or as ``run_batches``.
        """
        if not pairs:
            raise UserError(f"{self.name}: there are no pairs. Choose another split or a higher limit.")
        if unknown := sorted({pair.label for pair in pairs} - set(model.labels)):
            raise UserError(
                f"{self.name}: the data has the label {unknown[0]}, and the model knows {', '.join(model.labels)}. "
                "Map the data's labels to the model's with pairs.labels."
            )
        inputs: list[Mapping[str, str]] = [{"premise": pair.premise, "hypothesis": pair.hypothesis} for pair in pairs]
        classify = partial(model.batch, return_exceptions=True)
        outcomes = run_batches(self.name, "pair", pairs, inputs, classify, CHUNK, quiet=quiet)
        samples = [
            _sample(pair, judgement, identity)
            for pair, judgement in zip(outcomes.records, outcomes.results, strict=True)
        ]
        return self.result(samples, model.labels, outcomes, identity)


def _sample(pair: NLIPair, judgement: Judgement, identity: Mapping[str, Any]) -> dict[str, Any]:
    model_input: dict[str, Any] = {"prompt": judgement.prompt}
    if judgement.prompt is None:
        model_input |= {"premise": pair.premise, "hypothesis": pair.hypothesis}
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
        "key": content_key(**model_input, identity=identity),
        "notes": judgement.notes,
    }
