import checkpoints
import pytest
import torch
from generated import generate_texts

from chains.config import LLMConfig
from chains.models.local import load_llm
from chains.models.scoring import encode

PROMPTS = ["Read", "Read the text and answer", "Aspirin reduced the risk of stroke in adults. " * 6, "Question: no"]


@pytest.mark.parametrize("name", list(checkpoints.MAKERS))
def test_batches_generate_the_greedy_continuation_of_each_prompt(name: str, tmp_path) -> None:
    llm = load_llm(LLMConfig(model=str(checkpoints.MAKERS[name](tmp_path / name)), dtype="float32"))
    prompts = encode(llm.tokenizer, PROMPTS)
    texts = generate_texts(llm.model, llm.tokenizer, prompts, max_new_tokens=6, batch_tokens=10_000)
    assert texts == generate_texts(llm.model, llm.tokenizer, prompts, max_new_tokens=6, batch_tokens=1)
    for ids, text in zip(prompts, texts, strict=True):
        sequence = list(ids)
        for _ in range(6):
            with torch.no_grad():
                sequence.append(int(llm.model(torch.tensor([sequence])).logits[0, -1].argmax()))
            if sequence[-1] in llm.model.generation_config.eos_token_id:
                break
        assert llm.tokenizer.decode(sequence[len(ids) :], skip_special_tokens=True) == text


def test_without_prompts_there_are_no_texts() -> None:
    llm = load_llm(LLMConfig(dtype="float32"))
    assert generate_texts(llm.model, llm.tokenizer, [], max_new_tokens=6, batch_tokens=10) == []
