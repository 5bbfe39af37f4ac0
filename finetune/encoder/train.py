"""``medground train encoder``: pairs or questions in, a sequence classifier with its figures out."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import TrainingArguments

from chains.encoder.sequence import SequenceClassifier
from common.atomic_write import write_whole
from corpus.config import DataConfig, PairsConfig
from eval.results import check_output
from finetune.callbacks import Pace
from finetune.checkpoints import SUMMARY_FILE, Checkpoint, finished, remove_halves, to_resume, write_json
from finetune.config import EncoderConfig
from finetune.encoder.course import Course, Stage
from finetune.encoder.examples import Example, Lesson, lay_out, read_texts
from finetune.encoder.model import load_untaught
from finetune.encoder.report import card, summarise
from finetune.encoder.trainer import EncoderTrainer, Loss, label_weights
from finetune.trainer import check_reports, one_card_arguments, teach

_FREE = {"report_to", "keep_checkpoints"}  # what is shown or kept, not what is learned


def train_encoder(
    config: EncoderConfig,
    output: Path,
    *,
    pairs: PairsConfig | None = None,
    data: DataConfig | None = None,
    quiet: bool = False,
) -> Path:
    """Train a sequence classifier and leave it, its card and its figures in ``output``.

    ``output/checkpoint-N`` is the classifier at step N. A run that was stopped goes on from its last whole checkpoint
    and ends as it would have ended unbroken; a finished one is left as it is.

    Args:
        config: how to train.
        output: the folder; made if absent.
        pairs: where the pairs of task ``nli`` come from; the sample by default.
        data: where the records of task ``qa``, or of ``answer_pairs``, come from; the sample by default.
        quiet: nothing is shown.

    Returns:
        ``output``.

    Raises:
        UserError: the data or the model cannot be used, the settings contradict them, ``output`` holds another
            recipe's run, or a checkpoint cannot be saved; what was trained until then stays in ``output``.
    """
    started = time.perf_counter()
    console = Console(stderr=True, quiet=quiet)
    check_output(output)
    texts = read_texts(config, pairs, data)
    classifier = load_untaught(config, texts.labels)
    lesson = lay_out(texts, classifier.texts)
    if lesson.shortened:
        console.print(
            f"{lesson.shortened} of {len(lesson.train)} training texts are cut, by whole sentences where that is "
            f"possible, to fit {config.max_length} tokens (train.encoder.max_length)."
        )
    if lesson.left_out:
        console.print(f"{lesson.left_out} texts do not fit {config.max_length} tokens at all and were left out.")
    recipe = _recipe(config, lesson)
    if finished(output, recipe):
        console.print(f"{output} holds the result of this very run already; remove it to train again.")
        return output
    resumed = to_resume(output, recipe)
    if resumed is not None:
        console.print(f"Goes on from {resumed.folder.name}.")
    remove_halves(output)
    trainer = _trainer(config, classifier, lesson, recipe, output, resumed)
    taken = teach(
        trainer,
        resumed,
        console,
        best=config.keep == "best",
        out_of_memory=f"The card's memory does not suffice for batches of {config.batch_size} texts of up to "
        f"{config.max_length} tokens. Set train.encoder.batch_size or train.encoder.max_length lower.",
    )
    if taken is not None:
        summary = summarise(trainer, lesson, recipe, taken, time.perf_counter() - started)
        write_whole(output / "README.md", card(summary))
        write_json(output / SUMMARY_FILE, summary)
    return output


def _trainer(
    config: EncoderConfig,
    classifier: SequenceClassifier,
    lesson: Lesson,
    recipe: dict[str, Any],
    output: Path,
    resumed: Checkpoint | None,
) -> EncoderTrainer:
    check_reports(config.report_to, "train.encoder.report_to")
    arguments = TrainingArguments(
        **one_card_arguments(config, output),
        learning_rate=1.0,  # the course has the rates, and all epochs
        remove_unused_columns=False,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # one card is enough for an encoder
    return EncoderTrainer(
        classifier=classifier,
        args=arguments,
        train=lesson.train,
        dev=lesson.dev,
        loss=Loss(label_weights(lesson.train, len(lesson.labels), config.class_weight), config.label_smoothing),
        course=_course(config, lesson),
        recipe=recipe,
        spent=0.0 if resumed is None else float(resumed.run["seconds"]),
        keep=config.keep_checkpoints,
        callbacks=[Pace(config.every, config.patience)],
    )


def _course(config: EncoderConfig, lesson: Lesson) -> Course:
    """Conclusions alone, where they are taught, then everything."""
    concluded = tuple(number for number, one in enumerate(lesson.train) if one.concluded)
    stages = [Stage(concluded, config.conclusions, config.conclusion_rate)] if concluded else []
    return Course(
        [*stages, Stage(tuple(range(len(lesson.train))), config.epochs, config.learning_rate)],
        [len(one.inputs["input_ids"]) for one in lesson.train],
        batch=config.batch_size,
        warmup=config.warmup,
        seed=config.seed,
    )


def _recipe(config: EncoderConfig, lesson: Lesson) -> dict[str, Any]:
    """Everything that decides the result, besides code, number of threads and processor; plain JSON."""
    recipe = {
        **config.model_dump(exclude=_FREE),
        "labels": lesson.labels,
        "training examples": _digest(lesson.train),
        "dev examples": _digest(lesson.dev),
    }
    plain: dict[str, Any] = json.loads(json.dumps(recipe))
    return plain


def _digest(examples: tuple[Example, ...]) -> str:
    content = [(one.inputs, one.label) for one in examples]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
