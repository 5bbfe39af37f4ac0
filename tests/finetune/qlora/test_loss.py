"""finetune/qlora/loss.py: loss and gradient equal those computed with all logits and no shared prefix."""

from pathlib import Path

import pytest
import torch
from checkpoints import MAKERS
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from finetune.qlora.data import Example
from finetune.qlora.loss import answer_loss, can_share_cache, common_prefix_length

PREFIX = 12  # tokens that all rows begin with


@pytest.fixture(scope="module", params=sorted(MAKERS))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder: Path = MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "model")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def batch() -> dict[str, torch.Tensor]:
    """Three rows of up to 30 tokens, whose answers begin at different positions."""
    torch.manual_seed(1)
    ids = torch.randint(10, 300, (3, 30))
    ids[:, :PREFIX] = ids[0, :PREFIX]
    mask, labels = torch.ones_like(ids), torch.full_like(ids, -100)
    for row, (start, length) in enumerate([(20, 24), (22, 30), (13, 20)]):  # start of the answer, tokens of the row
        labels[row, start:length] = ids[row, start:length]
        mask[row, length:] = 0
        ids[row, length:] = 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def gradient(model, loss: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([weights.grad.flatten() for weights in model.parameters() if weights.grad is not None])


@pytest.mark.parametrize("shared", [0, PREFIX])
def test_loss_and_gradient_equal_those_with_all_logits(model, shared: int) -> None:
    inputs = batch()
    logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, :-1]
    expected_loss = cross_entropy(logits.flatten(0, 1), inputs["labels"][:, 1:].flatten(), reduction="sum")
    loss = answer_loss(model, inputs, shared)
    assert loss.item() == pytest.approx(expected_loss.item(), rel=1e-5)
    expected, actual = gradient(model, expected_loss), gradient(model, loss)
    assert torch.linalg.vector_norm(actual - expected) < 1e-4 * torch.linalg.vector_norm(expected)


def test_the_supported_architectures_can_share_their_cache(model) -> None:
    assert can_share_cache(model)


def test_the_common_prefix_excludes_last_prompt_tokens_and_is_0_if_short() -> None:
    instruction = list(range(100, 120))
    examples = [Example([*instruction, 1, 2, 9], 22), Example([*instruction, 1, 3, 9], 22)]
    assert common_prefix_length(examples) == 21
    assert common_prefix_length([*examples, Example([*instruction[:10], 5, 9], 11)]) == 10
    assert common_prefix_length([examples[0], examples[0]]) == 21  # the prompt's last token is not shared
    assert common_prefix_length([*examples, Example([7, 8, 9], 2)]) == 0
    assert common_prefix_length([Example([1, 2, 3, 4], 3)] * 2) == 0  # fewer than 8 tokens
