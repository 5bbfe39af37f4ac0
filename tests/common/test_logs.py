import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints import make_chat
from classifiers import make_classifier, make_encoder

from chains.config import LLMConfig
from chains.encoder.sequence import load_sequence_classifier
from chains.models.local import load_llm
from common.logs import hush_bitsandbytes, no_bars
from finetune.config import EncoderConfig
from finetune.encoder.model import load_untaught


def test_bars_are_hidden_and_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging as of_transformers

    def work(title: str) -> list[int]:
        with of_transformers.tqdm(range(3), desc=title) as bar:
            return list(bar)

    with no_bars():
        assert work("hidden") == [0, 1, 2]
    assert work("shown") == [0, 1, 2]
    err = capsys.readouterr().err
    assert "hidden" not in err
    assert "shown" in err


def test_a_hook_of_the_users_own_is_put_back() -> None:
    from transformers.utils import logging as of_transformers

    def hook(factory: Callable[..., object], args: object, kwargs: object) -> object:
        return factory

    before = of_transformers.set_tqdm_hook(hook)
    try:
        with pytest.raises(ZeroDivisionError), no_bars():
            1 / 0  # noqa: B018
        assert of_transformers.set_tqdm_hook(before) is hook
    finally:
        of_transformers.set_tqdm_hook(before)


@pytest.mark.parametrize("kind", ["causal", "classifier", "untaught"])
def test_loading_a_model_shows_no_bar(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make = {"causal": make_chat, "classifier": make_classifier, "untaught": make_encoder}[kind]
    model = str(make(tmp_path / "model"))
    capfd.readouterr()
    if kind == "causal":
        load_llm(LLMConfig(model=model, device_map="cpu"))
    elif kind == "classifier":
        load_sequence_classifier(model, "float32", "cpu", 4096)
    else:
        load_untaught(EncoderConfig(model=model, max_length=32), ("yes", "no"))
    assert "it/s" not in capfd.readouterr().err


def test_bitsandbytes_is_hushed_unless_its_level_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("bitsandbytes")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    hush_bitsandbytes()
    assert logger.level == logging.ERROR
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    hush_bitsandbytes()
    assert logger.level == logging.DEBUG


def test_importing_a_room_hushes_it() -> None:
    code = "import logging, retrievers; print(logging.getLogger('bitsandbytes').level)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(logging.ERROR)
