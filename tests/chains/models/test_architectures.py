"""In every architecture a prompt's result is its own: whatever shares its batch, and whatever it shares with others."""

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

WRITTEN = 4
_random = torch.Generator().manual_seed(1)
SHARED = torch.randint(3, architectures.WORDS, (24,), generator=_random).tolist()
PROMPTS = [
    [*SHARED, 3 + place, *torch.randint(3, architectures.WORDS, (length,), generator=_random).tolist()]
    for place, length in enumerate((0, 45, 7, 30))
]
# Each prompt alone, all at once, and what is shared in batches of some and all at once.
BATCHES = ((False, 1), (False, 100_000), (True, 150), (True, 100_000))
LABELS = {"one token": ((5,), (6,), (7,)), "several": ((5, 6, 9), (5,), (6, 7))}
# No key-value cache, or one that cannot be split: nothing is shared, and labels of several tokens are scored whole.
WHOLE = ("mpt", "phi 3, long", "mamba", "recurrentgemma", "openai-gpt", "gemma 4", "llama 4", "lfm 2", "jamba", "rwkv")


@pytest.fixture(
    scope="module",
    params=[
        *architectures.USUAL,
        *(pytest.param(name, marks=pytest.mark.slow) for name in architectures.OTHERS),
    ],
)
def named(request) -> tuple[str, PreTrainedModel]:
    return request.param, architectures.make_model(request.param)


def naive_scores(model: PreTrainedModel, prompt: list[int], labels: Sequence[tuple[int, ...]]) -> list[float]:
    """Prompt and label as one text, alone, without padding, cache or mask."""
    steps: dict[tuple[int, ...], torch.Tensor] = {}
    for begun in {label[:-1] for label in labels}:
        with torch.no_grad():
            steps[begun] = model(torch.tensor([[*prompt, *begun]]), use_cache=False).logits[0].log_softmax(-1)
    return [
        sum(float(steps[label[:-1]][len(prompt) - 1 + i, token]) for i, token in enumerate(label)) for label in labels
    ]


def naive_words(model: PreTrainedModel, prompt: list[int]) -> str:
    written: list[int] = []
    while len(written) < WRITTEN and 2 not in written:
        with torch.no_grad():
            logits = model(torch.tensor([[*prompt, *written]]), use_cache=False).logits
        written.append(int(logits[0, -1].argmax()))
    return " ".join(str(token) for token in written if token > 2)


@pytest.mark.parametrize("labels", list(LABELS))
def test_scores_are_those_of_a_prompt_alone(named, labels: str) -> None:
    _, model = named
    expected = torch.tensor([naive_scores(model, prompt, LABELS[labels]) for prompt in PROMPTS])
    asked = [Scorable(prompt, LABELS[labels]) for prompt in PROMPTS]
    for share, batch_tokens in BATCHES:
        found = torch.tensor(label_log_likelihoods(model, asked, batch_tokens, share=share))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_texts_are_those_of_a_prompt_alone(named) -> None:
    _, model = named
    expected = [naive_words(model, prompt) for prompt in PROMPTS]
    tokenizer = architectures.numbered_tokenizer()
    for share, batch_tokens in BATCHES:
        texts = generate_texts(
            model, tokenizer, PROMPTS, max_new_tokens=WRITTEN, batch_tokens=batch_tokens, share=share
        )
        assert texts == expected


def test_what_is_shared(named) -> None:
    name, model = named
    assert shared_prefix_length(model, PROMPTS, 0) == (0 if name in WHOLE else len(SHARED))
    windowed = getattr(model.config.get_text_config(), "sliding_window", None)
    assert shared_prefix_length(model, PROMPTS, 1) == (0 if name in WHOLE or windowed else len(SHARED))


def test_an_adapter_of_learned_prompts_writes_what_it_writes_alone_and_scores_nothing() -> None:
    torch.manual_seed(3)
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    tuned = get_peft_model(architectures.make_model("llama"), config).eval()
    torch.nn.init.normal_(tuned.prompt_encoder["default"].embedding.weight, std=0.5)
    expected = [naive_words(tuned, prompt) for prompt in PROMPTS]
    texts = generate_texts(
        tuned, architectures.numbered_tokenizer(), PROMPTS, max_new_tokens=WRITTEN, batch_tokens=100_000
    )
    assert texts == expected
    with pytest.raises(UserError, match=r"tokens of its own.*chain\.decide to generate"):
        label_log_likelihoods(tuned, [Scorable(PROMPTS[0], LABELS["one token"])], 100)


def test_all_architectures_that_share_are_tried() -> None:
    assert {kind for kind, _ in {**architectures.USUAL, **architectures.OTHERS}.values()} >= _PREFIX_SHARING
