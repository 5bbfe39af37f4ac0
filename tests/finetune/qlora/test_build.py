"""finetune/qlora/train.py: unusable settings."""

from pathlib import Path

import pytest
from qlora_runs import train

from chains.config import LLMConfig, PromptConfig
from common.errors import UserError
from corpus.config import PairsConfig
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora


def test_settings_that_cannot_be(chat_base: Path, pair_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.qlora\.target_modules does not suit"):
        train(chat_base, pair_folder, tmp_path, target_modules=("absent",))
    with pytest.raises(UserError, match=r"prompt\.shots is 1, .* Set it to 0"):
        train_qlora(LLMConfig(), PromptConfig(shots=1), PairsConfig(), QLoRAConfig(), tmp_path)
