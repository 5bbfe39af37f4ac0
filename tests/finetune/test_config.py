"""finetune/config.py: what its sections refuse."""

from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from finetune.config import EmbedderTrainConfig, EncoderConfig, QLoRAConfig

WHOLE = [
    (section, name)
    for section in (QLoRAConfig, EncoderConfig, EmbedderTrainConfig)
    for name, field in section.model_fields.items()
    if int in (field.annotation, *get_args(field.annotation))
]


@pytest.mark.parametrize(("section", "name"), WHOLE)
def test_a_whole_number_is_not_read_out_of_something_else(section: type[BaseModel], name: str) -> None:
    task = {"task": "qa"} if section is EncoderConfig else {}
    assert getattr(section(**{**task, name: 8}), name) == 8
    for value in ("8", 8.0, True):
        with pytest.raises(ValidationError):
            section(**{**task, name: value})


@pytest.mark.parametrize(("name", "task"), [("conclusions", "nli"), ("answer_pairs", "qa")])
def test_a_setting_of_another_task_is_refused(name: str, task: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} is of task"):
        EncoderConfig(**{"task": task, name: 1 if name == "conclusions" else True})


def test_every_setting_has_a_description() -> None:
    for section in (QLoRAConfig, EncoderConfig, EmbedderTrainConfig):
        assert [name for name, field in section.model_fields.items() if not field.description] == []
