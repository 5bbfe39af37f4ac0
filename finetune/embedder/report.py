"""What a run leaves beside the embedder: its figures as JSON and a model card."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from eval.results import versions
from finetune.callbacks import measurements
from finetune.checkpoints import Checkpoint
from finetune.embedder.examples import Lesson
from finetune.embedder.trainer import EmbedderTrainer
from finetune.process import peak_memory


def summarise(
    trainer: EmbedderTrainer, lesson: Lesson, recipe: Mapping[str, Any], taken: Checkpoint, wall: float
) -> dict[str, Any]:
    """Everything that ``summary.json`` holds.

    Args:
        trainer: after training.
        lesson: what was taught.
        recipe: what decides the result.
        taken: the checkpoint that became the result.
        wall: seconds that this process took, loading included.
    """
    state, seconds = trainer.state, max(trainer.seconds, 1e-9)
    result = {int(entry["step"]): entry for entry in measurements(state.log_history)}.get(taken.step, {})
    seen = sum(map(len, islice(trainer.batches, state.global_step)))
    return {
        "train_pairs": len(lesson.train),
        "train_abstracts": len({one.abstract for one in lesson.train}),
        "negatives": len(lesson.train[0].negatives),
        "dev_questions": len(lesson.dev),
        "step": taken.step,
        "steps": state.global_step,
        "dev_accuracy@1": result.get("eval_accuracy"),
        "dev_loss": result.get("eval_loss"),
        "parameters": sum(one.numel() for one in trainer.model.parameters()),
        "pairs_per_second": round(seen / seconds, 2),
        "seconds_training": round(seconds, 1),
        "seconds": round(wall, 1),
        "peak_memory": peak_memory(),
        "recipe": recipe,
        "versions": versions(),
        "log": state.log_history,
    }


def card(summary: Mapping[str, Any]) -> str:
    """The text of ``README.md`` in the embedder's folder, filled from the summary."""
    recipe: Mapping[str, Any] = summary["recipe"]
    base = recipe["model"]
    header = ["---", "library_name: sentence-transformers"]
    if base.count("/") == 1 and not base.startswith((".", "/", "~")):
        header.append(f"base_model: {base}")
    header += ["pipeline_tag: sentence-similarity", "tags: [sentence-transformers, medground]", "---"]
    known = "all-MiniLM-L6-v2" if base == "embedded" else base
    accuracy = summary["dev_accuracy@1"]
    lines = [
        *header,
        "",
        f"# `{known}` taught which abstract belongs to which question",
        "",
        "## How to use it",
        "",
        "```yaml",
        "embedders:",
        "  taught: {model: DIR}",
        "retrievers:",
        "  taught: {kind: dense, embedder: taught}",
        "```",
        "",
        "## Training",
        "",
        "| | |",
        "| --- | --- |",
        f"| pairs | {summary['train_pairs']} ({', '.join(recipe['pairs'])}) |",
        f"| their abstracts | {summary['train_abstracts']} |",
        f"| wrong abstracts with each, found by BM25 | {summary['negatives']} |",
        f"| dev questions, for choosing the checkpoint | {summary['dev_questions']} |",
        f"| dev accuracy@1 | {'not measured' if accuracy is None else f'{accuracy:.3f}'} |",
        f"| checkpoint taken | step {summary['step']} of {summary['steps']} |",
        f"| speed | {summary['pairs_per_second']} pairs/s |",
        f"| time | {summary['seconds_training']} s of training, {summary['seconds']} s in all |",
        "",
        "`summary.json` has all figures and settings.",
        "",
    ]
    return "\n".join(lines)
