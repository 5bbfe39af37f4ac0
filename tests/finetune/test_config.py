"""finetune/config.py: checks of the settings."""

from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from finetune.config import EmbedderTrainConfig, EncoderConfig, QLoRAConfig

INTEGER_FIELDS = [
    (section, name)
    for section in (QLoRAConfig, EncoderConfig, EmbedderTrainConfig)
    for name, field in section.model_fields.items()
    if int in (field.annotation, *get_args(field.annotation))
]


@pytest.mark.parametrize(("section", "name"), INTEGER_FIELDS)
def test_strings_floats_and_booleans_are_refused_as_integers(section: type[BaseModel], name: str) -> None:
    task = {"task": "qa"} if section is EncoderConfig else {}  # ``conclusions`` needs task qa
    assert getattr(section(**{**task, name: 8}), name) == 8
    for value in ("8", 8.0, True):
        with pytest.raises(ValidationError):
            section(**{**task, name: value})


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        (EncoderConfig, {"conclusions": 1, "task": "nli"}),
        (EncoderConfig, {"answer_pairs": True, "task": "qa"}),
        (EmbedderTrainConfig, {"pairs": ["question"], "task": "evidence"}),
    ],
)
def test_a_setting_of_another_task_is_refused(section: type[BaseModel], settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=f"{next(iter(settings))} is of task"):
        section(**settings)
