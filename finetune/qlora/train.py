"""``medground train qlora``: fine-tunes a language model on pairs."""

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel
from trl.trainer.sft_config import SFTConfig

from chains.config import LLMConfig, PromptConfig
from chains.models.local import LocalLLM, load_llm
from chains.nli import nli_chain
from common.errors import UserError
from common.fingerprints import weights_digest
from corpus.config import PairsConfig
from corpus.records import QARecord
from eval.tasks import NLITask
from finetune.config import QLoRAConfig
from finetune.qlora.data import QLoRAData, dataset_row, make_data
from finetune.qlora.device import DeviceSettings, fit_to_device, keep_differentiable
from finetune.qlora.loss import common_prefix_length
from finetune.qlora.report import PLOT_FILE, card, plot
from finetune.qlora.trainer import PairTrainer
from finetune.run import Device, Job, Run, digest
from finetune.sampler import SeededSampler
from finetune.trainer import evaluations, mean_cross_entropy


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
    """Fine-tune a model and save the adapter with its card and figures in ``output`` (see ``Run``).

    With ``method: full`` the result is a model. PEFT and ``llm.adapter`` load ``output`` and each of its checkpoints.

    Train and dev pairs come from ``pairs``; its test split is only searched for premises of the training pairs.
    ``answers`` are question records of the training split, for ``config.answer_pairs``.

    Raises:
        UserError: the settings contradict each other or the data, ``output`` cannot be used, or see ``Run.train``.
    """
    settings = fit_to_device(llm, config)
    if prompt.shots:
        raise UserError(f"prompt.shots is {prompt.shots}, and training prompts have no examples. Set it to 0.")
    run = Run(output, settings.config, "train.qlora", quiet=quiet)
    for substitution in settings.substitutions:
        run.print(f"On this device {substitution}.")
    base = load_llm(settings.llm)
    keep_differentiable(base.model)
    data = make_data(base, prompt, pairs, settings.config, answers)
    if data.source.leakage.search_error:
        run.print(data.source.leakage.search_error)
    for name, examples in (("training", data.train), ("dev", data.dev)):
        if examples.left_out:
            run.print(f"{examples.left_out} {name} pairs are too long and are left out.")
    return run.train(QLoRAJob(base, prompt, data, settings))


@dataclass(frozen=True)
class QLoRAJob(Job[PairTrainer]):
    """Training of a QLoRA or LoRA adapter, or of all weights."""

    base: LocalLLM
    prompt: PromptConfig
    data: QLoRAData
    settings: DeviceSettings
    evaluates_base = True

    def device(self) -> Device:
        """The device that the settings were fitted to."""
        return self.settings.device

    def recipe(self) -> dict[str, Any]:
        """Base weights and their number format, prompt family, labels and digests of the examples."""
        base = self.base
        return {
            "model": base.name,
            "weights": weights_digest(base.model)[:16],
            "quantization": self.settings.llm.quantization,
            "double_quant": self.settings.llm.double_quant,
            "dtype": self.settings.device.dtype_name,
            "family": base.family(self.prompt.family),
            "labels": self.data.source.labels,
            "training pairs": digest([example.ids for example in self.data.train.examples]),
            "dev pairs": digest([example.ids for example in self.data.dev.examples]),
        }

    def make_trainer(self, arguments: dict[str, Any], **kwargs: Any) -> PairTrainer:
        """The trainer of a new adapter or, with ``method: full``, of the whole model.

        Raises:
            UserError: the model has none of the layers in ``target_modules``.
        """
        config, examples = self.settings.config, self.data.train.examples
        answer_only = config.loss == "answer"
        rows = [dataset_row(example, answer_only=answer_only) for example in examples]
        torch.manual_seed(config.seed)
        return PairTrainer(
            model=_trainable_model(self.base, config),
            args=SFTConfig(
                **arguments,
                num_train_epochs=config.epochs,
                max_steps=config.max_steps or -1,
                gradient_accumulation_steps=config.accumulation,
                lr_scheduler_type=config.schedule if config.schedule != "constant" else "constant_with_warmup",
                optim={"adamw": "adamw_torch"}.get(config.optimizer, config.optimizer),
                max_grad_norm=config.max_grad_norm,
                activation_checkpointing=config.gradient_checkpointing,
                max_length=None,  # make_data left long pairs out
                include_num_input_tokens_seen="non_padding",
            ),
            processing_class=self.base.tokenizer,
            train_dataset=Dataset.from_list(rows),
            sampler=SeededSampler(
                [len(row["input_ids"]) for row in rows], config.batch_size, config.seed, grouped=config.group_by_length
            ),
            answer_only=answer_only,
            shared=common_prefix_length(examples) if config.share_start else 0,
            evaluate_model=self._evaluate,
            **kwargs,
        )

    def figures(self, trainer: PairTrainer, step: int) -> dict[str, Any]:
        """Counts of the pairs, dev accuracy, speed and number format."""
        data, state, seconds = self.data, trainer.state, max(trainer.seconds, 1e-9)
        accuracies = {at_step: entry["eval_accuracy"] for at_step, entry in evaluations(state.log_history).items()}
        return {
            "method": self.settings.config.method,
            "labels": data.source.labels,
            "train_pairs": len(data.train.examples),
            "answer_pairs": data.source.answer_pairs,
            "dev_pairs": len(data.dev.examples),
            "left_out": {"train": data.train.left_out, "dev": data.dev.left_out},
            "repeated_premises": data.source.leakage.repeated_premises,
            "dev_accuracy": {
                "before": accuracies.get(0),
                "result": accuracies.get(step),
                "last": accuracies[max(accuracies)],
            },
            "examples_per_second": round((state.epoch or 0) * len(data.train.examples) / seconds, 1),
            "tokens_per_second": round(state.num_input_tokens_seen / seconds),
            "compute": self.settings.device.dtype_name,
            "substitutions": self.settings.substitutions,
        }

    card = staticmethod(card)

    def write_extras(self, trainer: PairTrainer, output: Path) -> None:
        """Plot the losses."""
        plot(trainer.state.log_history, output / PLOT_FILE)

    def _evaluate(self, model: PreTrainedModel | PeftModel) -> dict[str, float]:
        """The dev figures, computed as ``eval nli`` does; every process judges all pairs, so that no process waits."""
        # A new LocalLLM each time: an earlier one may have cached packed weights, which training has changed since.
        llm = dataclasses.replace(self.base, model=cast("PreTrainedModel", model))
        chain = nli_chain(llm, self.data.source.labels, prompt_family=self.prompt.family)
        result = NLITask().evaluate(chain, self.data.dev.pairs, identity={}, quiet=True)
        loss = mean_cross_entropy(sample["label_scores"][sample["target"]] for sample in result.samples)
        return {"accuracy": result.metrics["accuracy"], "loss": loss}


def _trainable_model(base: LocalLLM, config: QLoRAConfig) -> PreTrainedModel | PeftModel:
    """The base with a new adapter, or the base itself with all weights trainable."""
    if config.method == "full":
        return base.model.requires_grad_(True)
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
        with warnings.catch_warnings(category=FutureWarning, action="ignore"):  # PEFT uses a deprecated name
            adapted = get_peft_model(base.model, lora)
    except ValueError as error:  # a layer is missing, or PEFT does not know the architecture
        raise UserError(
            f"train.qlora.target_modules does not suit {base.name} ({str(error).splitlines()[0]}). "
            "Set it to all-linear, or to names of the model's linear layers."
        ) from error
    adapted.peft_config["default"].base_model_name_or_path = base.name
    return adapted
