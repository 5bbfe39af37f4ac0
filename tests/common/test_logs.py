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
from finetune.encoder.model import load_base


def test_progress_bars_are_hidden_only_inside_a_block_of_no_bars(capsys: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging as transformers_logging

    def iterate_with_bar(title: str) -> list[int]:
        with transformers_logging.tqdm(range(3), desc=title) as bar:
            return list(bar)

    with no_bars():
        assert iterate_with_bar("hidden") == [0, 1, 2]
    assert iterate_with_bar("shown") == [0, 1, 2]
    err = capsys.readouterr().err
    assert "hidden" not in err
    assert "shown" in err


def test_previous_hook_is_restored_after_a_block_of_no_bars() -> None:
    from transformers.utils import logging as transformers_logging

    def hook(factory: Callable[..., object], args: object, kwargs: object) -> object:
        return factory

    previous = transformers_logging.set_tqdm_hook(hook)
    try:
        with pytest.raises(ZeroDivisionError), no_bars():
            1 / 0  # noqa: B018
        assert transformers_logging.set_tqdm_hook(previous) is hook
    finally:
        transformers_logging.set_tqdm_hook(previous)


LOADERS: dict[str, tuple[Callable[..., Path], Callable[[str], object]]] = {
    "causal": (make_chat, lambda model: load_llm(LLMConfig(model=model, device_map="cpu"))),
    "classifier": (make_classifier, lambda model: load_sequence_classifier(model, "float32", "cpu", 4096)),
    "encoder": (make_encoder, lambda model: load_base(EncoderConfig(model=model, max_length=32), ("yes", "no"))),
}


@pytest.mark.parametrize(("make_model", "load"), LOADERS.values(), ids=LOADERS)
def test_loading_a_model_shows_no_progress_bar(
    make_model: Callable[..., Path], load: Callable[[str], object], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = str(make_model(tmp_path / "model"))
    capfd.readouterr()
    load(model)
    assert "it/s" not in capfd.readouterr().err


def test_hush_bitsandbytes_keeps_a_level_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("bitsandbytes")
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    hush_bitsandbytes()
    assert logger.level == logging.ERROR
    monkeypatch.setattr(logger, "level", logging.DEBUG)
    hush_bitsandbytes()
    assert logger.level == logging.DEBUG


def test_importing_a_package_hushes_bitsandbytes() -> None:
    code = "import logging, retrievers; print(logging.getLogger('bitsandbytes').level)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == str(logging.ERROR)
