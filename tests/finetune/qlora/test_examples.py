"""finetune.qlora.data.py: training reads the very tokens that evaluation scores."""

from pathlib import Path

import pytest
from checkpoints import MAKERS

from chains.config import LLMConfig
from chains.models.local import LocalLLM, load_llm
from chains.models.scoring import encode, with_labels
from chains.models.templates import label_lead
from chains.nli import nli_chain
from corpus.inference.pairs import NLIPair
from finetune.qlora.data import answer_end, columns, encode_pairs

LABELS = ("entailment", "neutral", "contradiction")
PAIRS = [
    NLIPair("1", "Aspirin reduced stroke. ", "Stroke was\x00 rarer.", "entailment"),
    NLIPair("2", "It was <s> open <eos> </s> <|end|>.", "Bleeding changed.", "contradiction"),
    NLIPair("3", "Patients were randomised to aspirin or placebo.", "Was it so?", "neutral"),
]


@pytest.fixture(scope="module", params=sorted(MAKERS))
def llm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    folder: Path = MAKERS[request.param](tmp_path_factory.mktemp(request.param) / "model")
    return load_llm(LLMConfig(model=str(folder), dtype="float32", system="Be brief."))


def test_training_tokens_are_those_that_are_scored(llm: LocalLLM) -> None:
    encoded = encode_pairs(llm, PAIRS, LABELS, "auto")
    judged = nli_chain(llm, LABELS).batch([{"premise": p.premise, "hypothesis": p.hypothesis} for p in PAIRS])
    prompts = [one.prompt or "" for one in judged]
    lead = label_lead(llm.tokenizer)
    scored = with_labels(llm.tokenizer, prompts, encode(llm.tokenizer, prompts), LABELS, lead)
    for example, pair, prompt in zip(encoded.examples, PAIRS, scored, strict=True):
        assert example.ids[: example.start] == prompt.ids
        label = list(prompt.labels[LABELS.index(pair.label)])
        assert example.ids[example.start :][: len(label)] == label
        assert len(example.ids) > example.start + len(label)  # and an end


def test_the_answer_ends_as_the_template_ends_it(llm: LocalLLM) -> None:
    end = answer_end(llm.tokenizer)
    assert end.strip() in llm.tokenizer.all_special_tokens
    example = encode_pairs(llm, PAIRS[:1], LABELS, "auto").examples[0]
    assert llm.tokenizer.decode(example.ids[example.start :]).strip() == f"entailment{end}"
    if "{% for message" in llm.tokenizer.chat_template and "Answer: " not in llm.tokenizer.chat_template:
        turn = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "entailment"}]
        assert f"entailment{end}" in llm.tokenizer.apply_chat_template(turn, tokenize=False)


def test_long_pairs_are_left_out_and_counted(llm: LocalLLM) -> None:
    long = NLIPair("4", "Aspirin reduced stroke. " * 200, "Stroke was rarer.", "neutral")
    encoded = encode_pairs(llm, [*PAIRS, long], LABELS, "auto")
    assert [pair.id for pair in encoded.pairs] == ["1", "2", "3"]
    assert encoded.left_out == 1
    longest = max(len(example.ids) for example in encoded.examples)
    shorter = encode_pairs(llm, PAIRS, LABELS, "auto", longest - 1)
    assert 1 <= shorter.left_out < 3
    assert len(shorter.examples) == len(shorter.pairs) == 3 - shorter.left_out


def test_columns(llm: LocalLLM) -> None:
    examples = encode_pairs(llm, PAIRS, LABELS, "auto").examples
    for (ids, targets), example in zip(columns(examples, answer_only=True), examples, strict=True):
        assert targets == [-100] * example.start + ids[example.start :]
    assert all(ids == targets for ids, targets in columns(examples, answer_only=False))
