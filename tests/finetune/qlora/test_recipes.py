"""The recipes configs/qlora.yaml, configs/tutorial_qlora.yaml and configs/accelerate/fsdp_qlora.yaml."""

from pathlib import Path

import pytest
import yaml

from finetune.config import QLoRAConfig
from medground.settings import load_settings

CONFIGS = Path(__file__).parents[3] / "configs"


def test_qlora_yaml_states_every_setting() -> None:
    stated = yaml.safe_load((CONFIGS / "qlora.yaml").read_text())["train"]["qlora"]
    assert set(stated) == set(QLoRAConfig.model_fields)


def test_qlora_yaml_sets_4_bit_lora_with_the_loss_on_answers() -> None:
    settings = load_settings(CONFIGS / "qlora.yaml")
    config = settings.train.qlora
    assert (settings.llm.quantization, config.method, config.target_modules) == ("4bit", "lora", "all-linear")
    assert (config.loss, config.group_by_length, config.keep, config.answer_pairs) == ("answer", True, "best", True)
    assert config.patience is not None


def test_tutorial_qlora_yaml_has_the_hyperparameters_of_the_tutorial() -> None:
    settings = load_settings(CONFIGS / "tutorial_qlora.yaml")
    llm, config = settings.llm, settings.train.qlora
    assert (llm.quantization, llm.double_quant, llm.dtype) == ("4bit", False, "float16")
    assert (config.rank, config.alpha, config.dropout) == (64, 16, 0.1)
    assert (config.optimizer, config.learning_rate, config.schedule) == ("paged_adamw_32bit", 2e-4, "cosine")
    assert (config.warmup, config.weight_decay, config.max_grad_norm) == (0.03, 0.001, 0.3)
    assert (config.epochs, config.batch_size, config.accumulation) == (3, 2, 8)
    assert (config.gradient_checkpointing, config.max_length, config.loss) == (True, 1024, "all")
    assert (config.answer_pairs, config.group_by_length, config.share_start) == (False, False, False)


def test_accelerate_loads_fsdp_qlora_yaml() -> None:
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    path = CONFIGS / "accelerate" / "fsdp_qlora.yaml"
    config = config_args.ClusterConfig.from_yaml_file(yaml_file=str(path))
    assert config.distributed_type == "FSDP"
    assert "NOT RUN" in path.read_text()
