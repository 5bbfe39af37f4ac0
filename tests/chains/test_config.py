import pytest
from pydantic import ValidationError

from chains.config import LLMConfig


@pytest.mark.parametrize(
    "settings",
    [{"dtype": "int4"}, {"max_new_tokens": 0}, {"model": ""}, {"quantization": "2bit"}, {"modle": "x"}],
)
def test_invalid_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        LLMConfig(**settings)
