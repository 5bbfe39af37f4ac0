"""finetune/qlora/loss.py: less is computed, and the loss and its gradient stay what they are."""

from pathlib import Path

import pytest
import torch
from checkpoints import MAKERS
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from finetune.qlora.data import Example
from finetune.qlora.loss import answer_loss, common_start, shares_cache

START = 12


@pytest.fixture(scope="module", params=sorted(MAKERS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder: Path = MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "model")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(10, 300, (3, 30))
    ids[:, :START] = ids[0, :START]
    mask, labels = torch.ones_like(ids), torch.full_like(ids, -100)
    for row, (start, length) in enumerate([(20, 24), (22, 30), (13, 20)]):
        labels[row, start:length] = ids[row, start:length]
        mask[row, length:] = 0
        ids[row, length:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def gradient(model, loss: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([value.grad.flatten() for value in model.parameters() if value.grad is not None])


@pytest.mark.parametrize("shared", [0, START])
def test_as_with_all_logits(model, shared: int) -> None:
    inputs = batch()
    logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, :-1]
    whole = cross_entropy(logits.flatten(0, 1), inputs["labels"][:, 1:].flatten(), reduction="sum")
    loss = answer_loss(model, inputs, shared)
    assert loss.item() == pytest.approx(whole.item(), rel=1e-5)
    expected, found = gradient(model, whole), gradient(model, answer_loss(model, inputs, shared))
    assert torch.linalg.vector_norm(found - expected) < 1e-4 * torch.linalg.vector_norm(expected)


def test_these_models_can_share(model) -> None:
    assert shares_cache(model)


def test_common_start() -> None:
    instruction = list(range(100, 120))
    examples = [Example([*instruction, 1, 2, 9], 22), Example([*instruction, 1, 3, 9], 22)]
    assert common_start(examples) == 21
    assert common_start([*examples, Example([*instruction[:10], 5, 9], 11)]) == 10
    assert common_start([examples[0], examples[0]]) == 21  # a prompt's last token stays its own
    assert common_start([*examples, Example([7, 8, 9], 2)]) == 0
    assert common_start([Example([1, 2, 3, 4], 3)] * 2) == 0  # too little to be worth a pass of its own
