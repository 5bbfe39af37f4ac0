"""``medground train qlora``: pairs and settings in, an adapter with its figures out."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from chains.config import LLMConfig, PromptConfig
from chains.models.local import load_llm
from common.atomic_write import write_whole
from common.errors import UserError
from corpus.config import PairsConfig
from corpus.records import QARecord
from eval.results import check_output
from finetune.checkpoints import SUMMARY_FILE, finished, remove_halves, to_resume, write_json
from finetune.config import QLoRAConfig
from finetune.process import is_main
from finetune.qlora.build import build_trainer
from finetune.qlora.device import fit_to_device, keep_differentiable
from finetune.qlora.lesson import prepare, recipe_of
from finetune.qlora.report import PLOT_FILE, card, plot, summarise
from finetune.trainer import teach


def train_qlora(
    llm: LLMConfig,
    prompt: PromptConfig,
    pairs: PairsConfig,
    config: QLoRAConfig,
    output: Path,
    *,
    answers: Sequence[QARecord] = (),
    quiet: bool = False,
) -> Path:
    """Train an adapter (or, with ``method: full``, the model) and leave it, its card and its figures in ``output``.

    ``output/checkpoint-N`` is the adapter at step N, which PEFT loads and ``llm.adapter`` takes. A run that was stopped
    goes on from its last whole checkpoint and ends as it would have ended unbroken; a finished one is left as it is.

    Args:
        llm: the base.
        prompt: whose wording is used.
        pairs: their train and dev splits are read; the test split only to look for repeated premises.
        config: how to train.
        output: the folder; made if absent.
        answers: the training split's question records, for ``config.answer_pairs``.
        quiet: nothing is shown.

    Returns:
        ``output``.

    Raises:
        UserError: the settings contradict each other or the data, ``output`` holds another recipe's run, or a
            checkpoint cannot be saved; what was trained until then stays in ``output``.
    """
    started = time.perf_counter()
    console = Console(stderr=True, quiet=quiet or not is_main())
    fitted = fit_to_device(llm, config)
    if prompt.shots:
        raise UserError(f"prompt.shots is {prompt.shots}, and training shows no examples. Set prompt.shots to 0.")
    check_output(output)
    for line in fitted.substitutions:
        console.print(f"This device takes {line}.")
    base = load_llm(fitted.llm)
    keep_differentiable(base.model)
    lesson = prepare(base, prompt, pairs, fitted.config, answers)
    for name, examples in (("training", lesson.train), ("dev", lesson.dev)):
        if examples.left_out:
            console.print(f"{examples.left_out} {name} pairs are longer than fits and were left out.")
    recipe = recipe_of(base, prompt, lesson, fitted)
    if finished(output, recipe):
        console.print(f"{output} holds the result of this very run already; remove it to train again.")
        return output
    resumed = to_resume(output, recipe)
    if resumed is not None:
        console.print(f"Goes on from {resumed.folder.name}.")
    if is_main():
        remove_halves(output)
    trainer = build_trainer(base, lesson, fitted, recipe, output, resumed, prompt)
    taken = teach(
        trainer,
        resumed,
        console,
        best=fitted.config.keep == "best",
        out_of_memory=f"The card's memory does not suffice for batches of {config.batch_size}. Set "
        "train.qlora.batch_size lower and train.qlora.accumulation higher, or train.qlora.gradient_checkpointing to "
        "true.",
    )
    if taken is not None:
        summary = summarise(trainer, lesson, fitted, recipe, taken, resumed, time.perf_counter() - started)
        plot(trainer.state.log_history, output / PLOT_FILE)
        write_whole(output / "README.md", card(summary))
        write_json(output / SUMMARY_FILE, summary)
    trainer.accelerator.wait_for_everyone()
    return output
