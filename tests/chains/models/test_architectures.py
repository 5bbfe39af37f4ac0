"""A prompt gets the same scores and text in a batch, after a shared prefix and alone, in every architecture."""

from collections.abc import Sequence

import architectures
import pytest
import torch
from generated import generate_texts
from peft import PromptTuningConfig, get_peft_model
from transformers import PreTrainedModel

from chains.models.architectures import _PREFIX_SHARING
from chains.models.prefix import shared_prefix_length
from chains.models.scoring import Scorable, label_log_likelihoods
from common.errors import UserError

NEW_TOKENS = 4
END_TOKEN = 2  # the end token of the helper's models; the ids 0 and 1 are other special tokens
_random = torch.Generator().manual_seed(1)
SHARED = torch.randint(3, architectures.VOCABULARY_SIZE, (24,), generator=_random).tolist()
PROMPTS = [
    [*SHARED, 3 + index, *torch.randint(3, architectures.VOCABULARY_SIZE, (length,), generator=_random).tolist()]
    for index, length in enumerate((0, 45, 7, 30))
]
# The arguments share and batch_tokens. Without a shared prefix: single prompts, and one batch. With a shared prefix:
# several batches, and one batch.
BATCHES = ((False, 1), (False, 100_000), (True, 150), (True, 100_000))
LABELS = {"one token": ((5,), (6,), (7,)), "several tokens": ((5, 6, 9), (5,), (6, 7))}
# Architectures whose key-value cache cannot be computed in two parts.
WITHOUT_SHARING = ["mpt", "phi 3, long", "mamba", "recurrentgemma", "openai-gpt", "gemma 4", "llama 4", "lfm 2"]
WITHOUT_SHARING += ["jamba", "rwkv"]


@pytest.fixture(
    scope="module",
    params=[
        *architectures.COMMON,
        *(pytest.param(name, marks=pytest.mark.slow) for name in architectures.RARE),
    ],
)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str) -> PreTrainedModel:
    return architectures.make_model(name)


def score_naively(model: PreTrainedModel, prompt: list[int], labels: Sequence[tuple[int, ...]]) -> list[float]:
    """The labels' log-likelihoods from a forward pass for each prompt and label, without padding, cache or mask."""
    scores = []
    for label in labels:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *label]]), use_cache=False).logits[0, len(prompt) - 1 : -1]
        scores.append(float(logits.log_softmax(-1).gather(1, torch.tensor(label)[:, None]).sum()))
    return scores


def generate_naively(model: PreTrainedModel, prompt: list[int]) -> str:
    """The greedy continuation as decoded by ``numbered_tokenizer``, from a whole forward pass for each token."""
    generated: list[int] = []
    while len(generated) < NEW_TOKENS and END_TOKEN not in generated:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *generated]]), use_cache=False).logits
        generated.append(int(logits[0, -1].argmax()))
    return " ".join(str(token) for token in generated if token > END_TOKEN)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_scores_in_batches_equal_scores_alone(model: PreTrainedModel, labels: tuple[tuple[int, ...], ...]) -> None:
    expected = torch.tensor([score_naively(model, prompt, labels) for prompt in PROMPTS])
    prompts = [Scorable(prompt, labels) for prompt in PROMPTS]
    for share, batch_tokens in BATCHES:
        scores = torch.tensor(label_log_likelihoods(model, prompts, batch_tokens, share=share))
        torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def test_texts_in_batches_equal_texts_alone(model: PreTrainedModel) -> None:
    expected = [generate_naively(model, prompt) for prompt in PROMPTS]
    tokenizer = architectures.numbered_tokenizer()
    for share, batch_tokens in BATCHES:
        texts = generate_texts(
            model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS, batch_tokens=batch_tokens, share=share
        )
        assert texts == expected


def test_the_prefix_is_shared_unless_the_architecture_forbids_it(name: str, model: PreTrainedModel) -> None:
    shared = 0 if name in WITHOUT_SHARING else len(SHARED)
    assert shared_prefix_length(model, PROMPTS, 0) == shared
    # A sliding window is shorter than the prompts, so it prevents sharing if a token is generated.
    has_window = getattr(model.config.get_text_config(), "sliding_window", None)
    assert shared_prefix_length(model, PROMPTS, 1) == (0 if has_window else shared)


def test_a_prompt_tuning_adapter_generates_in_batches_but_cannot_score() -> None:
    torch.manual_seed(3)
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    model = get_peft_model(architectures.make_model("llama"), config).eval()
    torch.nn.init.normal_(model.prompt_encoder["default"].embedding.weight, std=0.5)
    expected = [generate_naively(model, prompt) for prompt in PROMPTS]
    tokenizer = architectures.numbered_tokenizer()
    texts = generate_texts(model, tokenizer, PROMPTS, max_new_tokens=NEW_TOKENS, batch_tokens=100_000)
    assert texts == expected
    with pytest.raises(UserError, match=r"virtual tokens.*chain\.decide to generate"):
        label_log_likelihoods(model, [Scorable(PROMPTS[0], LABELS["one token"])], 100)


def test_every_architecture_with_prefix_sharing_is_tested() -> None:
    assert {model_type for model_type, _ in {**architectures.COMMON, **architectures.RARE}.values()} >= _PREFIX_SHARING
