"""finetune/qlora/build.py: settings that cannot be carried out."""

from pathlib import Path

import pytest
from checkpoints import make_chat
from qlora_runs import train, write_pairs

from chains.config import LLMConfig, PromptConfig
from corpus.config import PairsConfig
from corpus.errors import UserError
from finetune.config import QLoRAConfig
from finetune.qlora.train import train_qlora


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chat(tmp_path_factory.mktemp("base") / "model", window=256)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, "train", 24)
    write_pairs(folder, "dev", 6)
    return folder


def test_settings_that_cannot_be(base: Path, pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.qlora\.target_modules does not suit"):
        train(base, pairs, tmp_path, target_modules=("absent",))
    with pytest.raises(UserError, match=r"train\.qlora\.report_to is nowhere"):
        train(base, pairs, tmp_path, report_to=("nowhere",))
    with pytest.raises(UserError, match=r"Set prompt\.shots to 0"):
        train_qlora(LLMConfig(), PromptConfig(shots=1), PairsConfig(), QLoRAConfig(), tmp_path)
