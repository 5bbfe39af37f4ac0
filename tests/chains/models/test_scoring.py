from pathlib import Path

import checkpoints
import pytest
import torch
from generated import generate_texts

from chains.config import LLMConfig
from chains.models.local import LocalLLM, load_llm
from chains.models.scoring import encode, label_log_likelihoods, with_labels
from chains.models.templates import label_lead

PROMPTS = [
    "<|begin|><|user|>" + "Aspirin reduced the risk of stroke. " * n + f"Does it {n}?<|end|><|assistant|>"
    for n in (0, 1, 2, 3, 5, 8, 13, 1)
]


@pytest.fixture(scope="module", params=list(checkpoints.MAKERS))
def llm(request, tmp_path_factory) -> LocalLLM:
    folder = checkpoints.MAKERS[request.param](tmp_path_factory.mktemp(request.param))
    return load_llm(LLMConfig(model=str(folder), dtype="float32"))


def score_labels(llm: LocalLLM, texts: list[str], labels: list[str], batch_tokens: int, lead: str = ""):
    prompts = with_labels(llm.tokenizer, texts, encode(llm.tokenizer, texts), labels, lead)
    return torch.tensor(label_log_likelihoods(llm.model, prompts, batch_tokens))


def score_naively(llm: LocalLLM, text: str, label: str) -> float:
    """The label's log-likelihood from a forward pass of prompt and label, without padding, cache or mask."""
    prompt = llm.tokenizer(text, add_special_tokens=False).input_ids
    whole = llm.tokenizer(text + label, add_special_tokens=False).input_ids
    assert whole[: len(prompt)] == prompt
    with torch.no_grad():
        logits = llm.model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(float(logits[i - 1, whole[i]]) for i in range(len(prompt), len(whole)))


@pytest.mark.parametrize(
    "labels", [["a", "b", "c"], ["yes", "no", "maybe"], ["may", "maybe", "maybe not", "no", "none"]]
)
def test_batched_scores_equal_naive_scores(llm: LocalLLM, labels: list[str]) -> None:
    expected = torch.tensor([[score_naively(llm, text, label) for label in labels] for text in PROMPTS])
    for batch_tokens in (1, 300, 100_000):
        torch.testing.assert_close(score_labels(llm, PROMPTS, labels, batch_tokens), expected, atol=1e-4, rtol=0)


def test_a_label_is_more_likely_than_a_longer_label_that_it_begins(llm: LocalLLM) -> None:
    shorter, longer = score_labels(llm, PROMPTS[:1], ["may", "may not"], 1000)[0]
    assert shorter > longer


def test_labels_are_tokenised_with_the_prompt_as_one_text(llm: LocalLLM) -> None:
    texts = ["Read the ", "Read the text, m", "It is", "It is"]
    labels = ["text", "aybe", " yes"]
    for text, prompt in zip(
        texts, with_labels(llm.tokenizer, texts, encode(llm.tokenizer, texts), labels, ""), strict=True
    ):
        for label, ids in zip(labels, prompt.labels, strict=True):
            assert [*prompt.ids, *ids] == llm.tokenizer(text + label, add_special_tokens=False).input_ids
            assert ids


def test_the_label_lead_is_the_template_s_text_before_an_answer(llm: LocalLLM) -> None:
    expected = {"gemma": "", "chat": "", "llama2": " ", "gpt2": " "}
    assert label_lead(llm.tokenizer) == expected[Path(llm.name).name[:-1]]  # without the number that mktemp appends


def test_bfloat16_is_close_to_float32(llm: LocalLLM) -> None:
    bfloat16_llm = load_llm(LLMConfig(model=llm.name, dtype="bfloat16"))
    difference = score_labels(bfloat16_llm, PROMPTS, ["a", "b"], 1000) - score_labels(llm, PROMPTS, ["a", "b"], 1000)
    assert float(difference.abs().max()) < 0.1


def test_without_prompts_there_are_no_scores_and_texts(llm: LocalLLM) -> None:
    assert label_log_likelihoods(llm.model, [], 10) == []
    assert generate_texts(llm.model, llm.tokenizer, [], max_new_tokens=6, batch_tokens=10) == []
