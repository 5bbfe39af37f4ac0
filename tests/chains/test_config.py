import pytest
from pydantic import ValidationError

from chains.config import LLMConfig


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "int4"},
        {"max_new_tokens": 0},
        {"model": ""},
        {"quantization": "2bit"},
        {"modle": "x"},
        {"kind": "llamacpp"},
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LLMConfig(**settings)


SERVER = {"kind": "openai", "base_url": "http://localhost:1/v1", "model": "m"}
GGUF = {"kind": "llamacpp", "model": "a.gguf"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({**SERVER, "quantization": "4bit"}, "quantization is for kind huggingface, .* set it to none"),
        ({**SERVER, "dtype": "float16"}, "dtype is for kind huggingface, .* set it to auto"),
        ({**SERVER, "double_quant": True}, "double_quant is for kind huggingface, .* set it to false"),
        ({**SERVER, "gguf_file": "a.gguf"}, "gguf_file is for kind huggingface or llamacpp, .* set it to null"),
        ({**SERVER, "adapter": "x"}, "adapter is for kind huggingface, .* server loads"),
        ({**GGUF, "quantization": "4bit"}, "quantization is for kind huggingface, .* number format"),
        ({**GGUF, "adapter": "x"}, "adapter is for kind huggingface"),
        ({**GGUF, "merge_adapter": True}, "merge_adapter is for kind huggingface, .* set it to false"),
        ({**GGUF, "base_url": "http://a"}, "base_url is for kind openai"),
        ({"model": "a.gguf", "threads": 2}, "threads is for kind llamacpp"),
        ({"model": "a.gguf", "window": 64}, "window is for kind openai or llamacpp"),
        ({"kind": "extractive", "base_url": "http://a"}, "base_url is for kind openai"),
    ],
)
def test_settings_without_effect_on_the_kind_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LLMConfig(**settings)


def test_extractive_accepts_settings_of_a_model() -> None:
    assert LLMConfig(kind="extractive", model="google/gemma-2b-it", quantization="4bit").kind == "extractive"
