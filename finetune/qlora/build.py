"""From a lesson and settings to TRL's trainer."""

import dataclasses
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel
from trl.trainer.sft_config import SFTConfig

from chains.config import PromptConfig
from chains.models.local import LocalLLM
from chains.nli import nli_chain
from common.errors import UserError
from eval.nli import evaluate_nli
from finetune.callbacks import Pace
from finetune.checkpoints import Checkpoint
from finetune.config import QLoRAConfig
from finetune.process import processes
from finetune.qlora.device import Fitted
from finetune.qlora.examples import columns
from finetune.qlora.lesson import Lesson
from finetune.qlora.loss import common_start
from finetune.qlora.order import SeededOrder
from finetune.qlora.trainer import Measure, PairTrainer
from finetune.trainer import check_reports, common_arguments


def build_trainer(
    base: LocalLLM,
    lesson: Lesson,
    fitted: Fitted,
    recipe: Mapping[str, Any],
    output: Path,
    resumed: Checkpoint | None,
    prompt: PromptConfig,
) -> PairTrainer:
    """The trainer of a lesson, ready to train or to go on.

    Args:
        base: the loaded model.
        lesson: what to teach.
        fitted: the settings that this device can carry out.
        recipe: is written into checkpoints.
        output: the run's folder.
        resumed: the checkpoint to go on from, if any.
        prompt: whose wording the dev pairs are judged with.

    Raises:
        UserError: there are no such layers to adapt, or no such place to report to.
    """
    config = fitted.config
    rows = list(columns(lesson.train.examples, answer_alone=config.loss == "answer"))
    arguments = _arguments(fitted, output, fresh=resumed is None)
    check_reports(config.report_to, "train.qlora.report_to")
    torch.manual_seed(config.seed)
    return PairTrainer(
        model=_trained(base, config),
        args=arguments,
        processing_class=base.tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": [ids for ids, _ in rows], "labels": [to for _, to in rows]}),
        callbacks=[Pace(config.every, config.patience)],
        order=SeededOrder(
            [len(ids) for ids, _ in rows], config.batch_size, config.seed, grouped=config.group_by_length
        ),
        measure=_measure(base, lesson, prompt),
        recipe=recipe,
        answer_alone=config.loss == "answer",
        shared=common_start(lesson.train.examples) if config.share_start else 0,
        spent=0.0 if resumed is None else float(resumed.run["seconds"]),
        keep=config.keep_checkpoints,
    )


def _trained(base: LocalLLM, config: QLoRAConfig) -> PreTrainedModel | PeftModel:
    model = base.model
    if config.method == "full":
        return model.requires_grad_(True)
    targets = config.target_modules if isinstance(config.target_modules, str | None) else list(config.target_modules)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=targets,
        bias="none",
        task_type="CAUSAL_LM",
    )
    try:
        with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # peft asks transformers by an old name
            adapted = get_peft_model(model, lora)
    except ValueError as error:  # no such layers, or an architecture that PEFT does not know
        raise UserError(
            f"train.qlora.target_modules does not suit {base.name} ({str(error).splitlines()[0]}). "
            "Set it to all-linear, or to names of the model's linear layers."
        ) from error
    adapted.peft_config["default"].base_model_name_or_path = base.name
    return adapted


def _measure(base: LocalLLM, lesson: Lesson, prompt: PromptConfig) -> Measure:
    """Dev figures of a live model, as ``eval nli`` has them: every process judges all pairs, so none waits."""

    def measure(model: PreTrainedModel | PeftModel) -> dict[str, float]:
        live = dataclasses.replace(base, model=cast("PreTrainedModel", model))  # new each time: it keeps packed weights
        result = evaluate_nli(
            nli_chain(live, lesson.labels, prompt_family=prompt.family), lesson.dev.pairs, identity={}, quiet=True
        )
        gold = [max(one["label_scores"][one["target"]], 1e-9) for one in result.samples]
        return {"accuracy": result.metrics["accuracy"], "loss": -sum(map(math.log, gold)) / len(gold)}

    return measure


def _arguments(fitted: Fitted, output: Path, *, fresh: bool) -> SFTConfig:
    config = fitted.config
    arguments = SFTConfig(
        **common_arguments(config, output, on_cpu=fitted.on_cpu),
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule if config.schedule != "constant" else "constant_with_warmup",
        warmup_steps=config.warmup,  # below 1 it is a share
        optim={"adamw": "adamw_torch"}.get(config.optimizer, config.optimizer),
        max_grad_norm=config.max_grad_norm,
        activation_checkpointing=config.gradient_checkpointing,
        bf16=fitted.compute == torch.bfloat16,
        fp16=fitted.compute == torch.float16,
        max_length=None,  # too long pairs were left out
        eval_on_start=fresh,
        include_num_input_tokens_seen="non_padding",
    )
    if processes() == 1:
        arguments._n_gpu = min(1, arguments.n_gpu)  # several cards in one process share the model's layers, not batches
    return arguments
