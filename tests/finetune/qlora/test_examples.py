"""finetune/qlora/data.py: training pairs have the tokens that evaluation scores."""

from pathlib import Path

import pytest
from checkpoints import MAKERS

from chains.config import LLMConfig
from chains.models.local import LocalLLM, load_llm
from chains.models.scoring import encode, with_labels
from chains.models.templates import answer_end, label_lead
from chains.nli import nli_chain
from corpus.inference.pairs import NLIPair
from finetune.qlora.data import IGNORED, Example, dataset_row, encode_pairs

LABELS = ("entailment", "neutral", "contradiction")
# The first two pairs need cleaning: they have a null character, and special tokens of the models.
PAIRS = [
    NLIPair("1", "Aspirin reduced stroke. ", "Stroke was\x00 rarer.", "entailment"),
    NLIPair("2", "It was <s> open <eos> </s> <|end|>.", "Bleeding changed.", "contradiction"),
    NLIPair("3", "Patients were randomised to aspirin or placebo.", "Was it so?", "neutral"),
]


@pytest.fixture(scope="module", params=sorted(MAKERS))
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    folder: Path = MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "model")
    return load_llm(LLMConfig(model=str(folder), dtype="float32", system="Be brief."))


def test_prompt_and_label_have_the_token_ids_that_nli_chain_scores(llm: LocalLLM) -> None:
    encoded = encode_pairs(llm, PAIRS, LABELS, "auto")
    inputs = [{"premise": pair.premise, "hypothesis": pair.hypothesis} for pair in PAIRS]
    prompts = [judgement.prompt or "" for judgement in nli_chain(llm, LABELS).batch(inputs)]
    lead = label_lead(llm.tokenizer)
    scored = with_labels(llm.tokenizer, prompts, encode(llm.tokenizer, prompts), LABELS, lead)
    for example, pair, prompt in zip(encoded.examples, PAIRS, scored, strict=True):
        assert example.ids[: example.start] == prompt.ids
        label = list(prompt.labels[LABELS.index(pair.label)])
        assert example.ids[example.start :][: len(label)] == label
        assert len(example.ids) > example.start + len(label)  # the end token follows


def test_the_label_ends_with_the_end_token_of_the_chat_template(llm: LocalLLM) -> None:
    end = answer_end(llm.tokenizer)
    assert end.strip() in llm.tokenizer.all_special_tokens
    example = encode_pairs(llm, PAIRS[:1], LABELS, "auto").examples[0]
    assert llm.tokenizer.decode(example.ids[example.start :]).strip() == f"entailment{end}"
    if "Answer: " not in llm.tokenizer.chat_template:  # the default template, which has "Answer: ", has no end token
        turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "entailment"}]
        assert f"entailment{end}" in llm.tokenizer.apply_chat_template(turns, tokenize=False)


def test_long_pairs_are_left_out_and_counted(llm: LocalLLM) -> None:
    long = NLIPair("4", "Aspirin reduced stroke. " * 200, "Stroke was rarer.", "neutral")
    encoded = encode_pairs(llm, [*PAIRS, long], LABELS, "auto")
    assert [pair.id for pair in encoded.pairs] == ["1", "2", "3"]
    assert encoded.left_out == 1
    longest = max(len(example.ids) for example in encoded.examples)
    shorter = encode_pairs(llm, PAIRS, LABELS, "auto", longest - 1)
    assert 1 <= shorter.left_out < 3
    assert len(shorter.examples) == len(shorter.pairs) == 3 - shorter.left_out


def test_tokens_of_the_prompt_are_no_targets_if_answer_only_is_set() -> None:
    example = Example([5, 6, 7, 8], start=3)
    assert dataset_row(example, answer_only=True) == {"input_ids": [5, 6, 7, 8], "labels": [IGNORED] * 3 + [8]}
    assert dataset_row(example, answer_only=False) == {"input_ids": [5, 6, 7, 8], "labels": [5, 6, 7, 8]}
