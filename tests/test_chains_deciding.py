from contextlib import contextmanager
from dataclasses import replace

import checkpoints
import pytest
import torch

from chains.config import LLMConfig
from chains.deciding import Decider
from chains.llm import LocalLLM, load_llm
from chains.scoring import encode
from corpus.errors import UserError

LABELS = ("entailment", "No", "not-so")
PROMPTS = [
    f"<|begin|><|user|>{text}<|end|><|assistant|>" for text in ("Is it so?", "Aspirin reduced stroke. " * 9, "?")
]


@pytest.fixture(scope="module")
def llm(tmp_path_factory) -> LocalLLM:
    return load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path_factory.mktemp("chat"))), dtype="float32"))


def decide(llm: LocalLLM, labels: tuple[str, ...] = LABELS, how="score"):
    return Decider(llm, labels, how).decide(list(zip(PROMPTS, encode(llm.tokenizer, PROMPTS), strict=True)))


def test_scores_are_the_labels_probabilities_made_to_sum_to_one(llm: LocalLLM) -> None:
    for prompt, decision in zip(PROMPTS, decide(llm), strict=True):
        likelihoods = []
        for label in LABELS:
            start = len(encode(llm.tokenizer, [prompt])[0])
            ids = torch.tensor(encode(llm.tokenizer, [prompt + label]))
            with torch.inference_mode():
                steps = llm.model(input_ids=ids).logits[0].log_softmax(-1)
            likelihoods.append(sum(steps[i - 1, ids[0, i]] for i in range(start, ids.shape[1])))
        expected = torch.stack(likelihoods).softmax(0).tolist()
        assert decision.scores == pytest.approx(dict(zip(LABELS, expected, strict=True)), abs=1e-4)
        assert decision.label == max(decision.scores, key=decision.scores.__getitem__)
        assert (decision.output, decision.notes) == (None, ())


def test_scores_that_underflow_still_sum_to_one(llm: LocalLLM) -> None:
    decision = decide(llm, ("no", "maybe " * 200))[0]
    assert decision.scores == {"no": 1.0, "maybe " * 200: 0.0}


def test_generated_text_is_read_without_regard_to_case(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    written = ["NO, it is not.", " Entailment", "who knows"]
    monkeypatch.setattr("chains.deciding.generate_texts", lambda *args, **kwargs: written)
    decisions = decide(llm, how="generate")
    assert [decision.label for decision in decisions] == ["No", "entailment", None]
    assert [decision.output for decision in decisions] == written
    assert all(decision.scores == {} for decision in decisions)
    assert [decision.notes for decision in decisions] == [(), (), ("the generated text names no label",)]


def test_generation_has_room_for_the_longest_label(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(llm, config=llm.config.model_copy(update={"max_new_tokens": 1}))
    longest = max(len(ids) for ids in encode(llm.tokenizer, list(LABELS)))
    assert longest > 1
    assert Decider(short, LABELS, "score").reserve == longest
    assert Decider(llm, ("no", "yes"), "score").reserve == llm.config.max_new_tokens
    given: list[int] = []

    def generate(*args, max_new_tokens: int, **kwargs) -> list[str]:
        given.append(max_new_tokens)
        return ["no"] * len(PROMPTS)

    monkeypatch.setattr("chains.deciding.generate_texts", generate)
    decide(short, how="generate")
    assert given == [longest]


@pytest.mark.parametrize("how", ["score", "generate"])
def test_the_model_runs_inside_its_guard(llm: LocalLLM, how) -> None:
    inside: list[bool] = []
    seen: list[bool] = []

    @contextmanager
    def guard():
        inside.append(True)
        yield
        inside.pop()

    handle = llm.model.register_forward_pre_hook(lambda *args: seen.append(bool(inside)))
    try:
        decide(replace(llm, guard=guard), how=how)
    finally:
        handle.remove()
    assert set(seen) == {True}
    assert inside == []


@pytest.mark.parametrize("how", ["score", "generate"])
def test_nothing_to_decide(llm: LocalLLM, how) -> None:
    assert Decider(llm, LABELS, how).decide([]) == []


def test_a_model_without_finite_probabilities_is_refused(tmp_path) -> None:
    broken = load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path)), dtype="float32"))
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"no finite probabilities in torch\.float32\. Set llm\.dtype"):
        decide(broken)


def test_a_label_of_several_words_cannot_be_read_from_text(llm: LocalLLM) -> None:
    for label in ("not entailed", "not_entailed"):
        with pytest.raises(UserError, match=rf"'{label}' is not one plain word.*chain\.decide to score"):
            Decider(llm, ("entailed", label), "generate")
    assert decide(llm, ("entailed", "not entailed"))[0].label in ("entailed", "not entailed")
