import pytest
from pydantic import ValidationError

from chains.config import ChainConfig, LLMConfig, PromptConfig


def test_default_model_is_the_embedded_one() -> None:
    config = LLMConfig()
    assert (config.kind, config.model, config.dtype, config.quantization) == ("huggingface", "embedded", "auto", "none")
    assert PromptConfig().family == "auto"
    assert (ChainConfig().context, ChainConfig().decide, ChainConfig().passages) == ("retrieved", "score", 1)


@pytest.mark.parametrize(
    "settings",
    [{"dtype": "int4"}, {"max_new_tokens": 0}, {"model": ""}, {"quantization": "2bit"}, {"modle": "x"}],
)
def test_invalid_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LLMConfig(**settings)


def test_sections_are_frozen() -> None:
    with pytest.raises(ValidationError):
        LLMConfig().model = "other"
