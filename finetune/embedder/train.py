"""``medground train embedder``: question records in, an embedder with its figures out."""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from sentence_transformers import SentenceTransformerTrainingArguments

from common.atomic_write import write_whole
from common.fingerprints import weights_digest
from corpus.records import QARecord
from eval.results import check_output
from finetune.callbacks import Pace
from finetune.checkpoints import (
    SUMMARY_FILE,
    Checkpoint,
    checkpoints,
    finished,
    remove_halves,
    to_resume,
    write_json,
)
from finetune.config import TaughtEmbedderConfig
from finetune.embedder.batches import Batches
from finetune.embedder.examples import Lesson, make_lesson
from finetune.embedder.model import load_untaught
from finetune.embedder.report import card, summarise
from finetune.embedder.trainer import EmbedderTrainer
from finetune.trainer import check_reports, one_card_arguments, teach

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_FREE = {"report_to", "keep_checkpoints"}  # what is shown or kept, not what is learned


def train_embedder(
    config: TaughtEmbedderConfig,
    output: Path,
    *,
    train: Sequence[QARecord],
    dev: Sequence[QARecord] = (),
    quiet: bool = False,
) -> Path:
    """Teach an embedder and leave it, its card and its figures in ``output``: a sentence-transformers folder.

    ``output/checkpoint-N`` is the embedder at step N. A run that was stopped goes on from its last whole checkpoint and
    ends as it would have ended unbroken; a finished one is left as it is.

    Args:
        config: how to train.
        output: the folder; made if absent.
        train: their questions and conclusions are taught.
        dev: their questions choose the checkpoint, asked against the abstracts of both; with ``config.teach_dev`` they
            are taught too.
        quiet: nothing is shown.

    Returns:
        ``output``.

    Raises:
        UserError: the records or the model cannot be used, ``output`` holds another recipe's run, or a checkpoint
            cannot be saved; what was trained until then stays in ``output``.
    """
    started = time.perf_counter()
    console = Console(stderr=True, quiet=quiet)
    check_output(output)
    if config.teach_dev:
        train, dev = (*train, *dev), ()
    lesson = make_lesson(config, train, dev)
    embedder = load_untaught(config)
    recipe = _recipe(config, lesson, embedder)
    if finished(output, recipe):
        console.print(f"{output} holds the result of this very run already; remove it to train again.")
        return output
    resumed = to_resume(output, recipe)
    if resumed is not None:
        console.print(f"Goes on from {resumed.folder.name}.")
    remove_halves(output)
    trainer = _trainer(config, embedder, lesson, recipe, output, resumed)
    try:
        taken = teach(
            trainer,
            resumed,
            console,
            best=config.keep == "best",
            out_of_memory=f"The card's memory does not suffice for batches of {config.batch_size} pairs of texts of up "
            f"to {config.max_length} tokens. Set train.embedder.batch_size or train.embedder.max_length lower.",
        )
    finally:
        _publish_modules(output)
    if taken is not None:
        summary = summarise(trainer, lesson, recipe, taken, time.perf_counter() - started)
        write_whole(output / "README.md", card(summary))
        write_json(output / SUMMARY_FILE, summary)
    return output


def _trainer(
    config: TaughtEmbedderConfig,
    embedder: "SentenceTransformer",
    lesson: Lesson,
    recipe: dict[str, Any],
    output: Path,
    resumed: Checkpoint | None,
) -> EmbedderTrainer:
    check_reports(config.report_to, "train.embedder.report_to")
    arguments = SentenceTransformerTrainingArguments(
        **one_card_arguments(config, output),
        learning_rate=config.learning_rate,
        warmup_steps=config.warmup,  # below 1 it is a share
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # the loss needs a whole batch on one card
    return EmbedderTrainer(
        embedder=embedder,
        args=arguments,
        lesson=lesson,
        batches=Batches(lesson.train, config.batch_size, config.epochs, config.seed),
        max_length=config.max_length,
        recipe=recipe,
        spent=0.0 if resumed is None else float(resumed.run["seconds"]),
        keep=config.keep_checkpoints,
        callbacks=[Pace(config.every, config.patience)],
    )


def _publish_modules(output: Path) -> None:
    """Put the folders of the model's further modules, which training does not change, beside what ``teach`` puts."""
    for checkpoint in checkpoints(output):
        for folder in checkpoint.folder.iterdir():
            if folder.is_dir():
                shutil.copytree(folder, output / folder.name, dirs_exist_ok=True)
        return


def _recipe(config: TaughtEmbedderConfig, lesson: Lesson, embedder: "SentenceTransformer") -> dict[str, Any]:
    """Everything that decides the result, besides code, number of threads and processor; plain JSON."""
    recipe = {
        **config.model_dump(exclude=_FREE),
        "weights": weights_digest(embedder)[:16],
        "training examples": _digest(
            [lesson.abstracts, [(one.text, one.abstract, one.negatives) for one in lesson.train]]
        ),
        "dev examples": _digest([(one.text, one.abstract) for one in lesson.dev]),
    }
    plain: dict[str, Any] = json.loads(json.dumps(recipe))
    return plain


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
