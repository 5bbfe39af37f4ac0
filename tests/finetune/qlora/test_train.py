"""finetune/qlora/train.py: trained adapters load and evaluate, and the summary has their figures."""

import json
from pathlib import Path

import pytest
import torch
from checkpoints import MAKERS
from qlora_runs import LABELS, QUICK, summary, train, weights

from chains.config import LLMConfig, PromptConfig
from chains.models.local import load_llm
from chains.nli import nli_chain
from common.errors import UserError
from corpus.config import PairsConfig
from corpus.inference.pairs import load_pairs
from eval.tasks import NLITask
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora


@pytest.mark.parametrize(("name", "quantization"), [("gemma", "4bit"), ("llama2", "4bit"), ("gpt2", "none")])
def test_adapters_and_checkpoints_of_each_architecture_can_be_evaluated(
    name: str, quantization: str, pair_folder: Path, tmp_path: Path
) -> None:
    base = MAKERS[name](tmp_path / "model")
    output = train(base, pair_folder, tmp_path / "run", llm={"quantization": quantization})
    figures = summary(output)
    dev = load_pairs(PairsConfig(path=str(pair_folder)), "dev").pairs
    for folder in (output, output / "checkpoint-3"):
        llm = load_llm(LLMConfig(model=str(base), adapter=str(folder), dtype="float32", quantization=quantization))
        result = NLITask().evaluate(nli_chain(llm, LABELS), dev, identity={}, quiet=True)
        if folder == output and quantization == "none":
            assert result.metrics["accuracy"] == pytest.approx(figures["dev_accuracy"]["result"])
    assert json.loads((output / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert any(values.any() for name, values in weights(output).items() if "lora_B" in name)  # 0 before training


def test_full_fine_tuning_saves_a_changed_model(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    output = train(chat_base, pair_folder, tmp_path, method="full")
    before, after = load_llm(LLMConfig(model=str(chat_base))), load_llm(LLMConfig(model=str(output)))
    assert not torch.equal(before.model.lm_head.weight, after.model.lm_head.weight)
    assert summary(output)["trainable_parameters"] == summary(output)["parameters"]


def test_the_training_loss_falls(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    # All weights are trained, since an adapter on a random base learns too little.
    output = train(chat_base, pair_folder, tmp_path, max_steps=40, every=40, method="full")
    state = json.loads((output / "checkpoint-40" / "trainer_state.json").read_text())
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert losses[-1] < 0.3 * losses[0]  # most tokens of a label follow from its first token


def test_the_folder_has_plot_summary_and_card(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    output = train(chat_base, pair_folder, tmp_path, keep="last")
    assert (output / "training.png").read_bytes().startswith(b"\x89PNG")
    figures = summary(output)
    assert figures["step"] == figures["steps"] == QUICK["max_steps"]
    assert (figures["train_pairs"], figures["dev_pairs"]) == (24, 6)  # as many as pair_folder has
    assert figures["dev_accuracy"]["before"] is not None
    assert figures["examples_per_second"] > 0
    assert figures["tokens_per_second"] > 10 * figures["examples_per_second"]  # prompts are longer than 10 tokens
    assert figures["repeated_premises"] == {"dev": [], "test": None}
    assert "24 for training" in (output / "README.md").read_text()


def test_replaced_settings_are_printed_and_stated_in_summary_and_card(
    chat_base: Path, pair_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = train_qlora(
        LLMConfig(model=str(chat_base), device_map="cpu", dtype="float16", quantization="4bit"),
        PromptConfig(),
        PairsConfig(path=str(pair_folder)),
        QLoRAConfig(
            **{**QUICK, "loss": "all", "optimizer": "paged_adamw_32bit", "accumulation": 2, "target_modules": None},
            gradient_checkpointing=True,
            max_length=256,
            group_by_length=False,
        ),
        tmp_path,
    )
    figures = summary(output)
    assert len(figures["substitutions"]) == 2
    stderr = " ".join(capsys.readouterr().err.split())
    for substitution in figures["substitutions"]:
        assert substitution in stderr
        assert substitution in (output / "README.md").read_text()
    # With target_modules null, the modules are PEFT's default for Llama. The names end in MODULE.lora_A.weight.
    assert {name.split(".")[-3] for name in weights(output)} == {"q_proj", "v_proj"}


def test_an_adapter_of_the_embedded_model_has_embedded_as_the_name_of_its_base(
    pair_folder: Path, tmp_path: Path
) -> None:
    output = train_qlora(
        LLMConfig(quantization="4bit", dtype="float32", device_map="cpu"),
        PromptConfig(),
        PairsConfig(path=str(pair_folder)),
        QLoRAConfig(**{**QUICK, "max_steps": 2, "every": 2}),
        tmp_path,
        quiet=True,
    )
    assert json.loads((output / "adapter_config.json").read_text())["base_model_name_or_path"] == "embedded"
    assert load_llm(LLMConfig(adapter=str(output))).name == "embedded"


def test_unsuitable_target_modules_and_shots_are_refused(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.qlora\.target_modules does not suit"):
        train(chat_base, pair_folder, tmp_path, target_modules=("absent",))
    with pytest.raises(UserError, match=r"prompt\.shots is 1, .* Set it to 0"):
        train_qlora(LLMConfig(), PromptConfig(shots=1), PairsConfig(), QLoRAConfig(), tmp_path)
