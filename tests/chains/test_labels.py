import math
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import checkpoints
import pytest
import torch
from langchain_core.prompts import ChatPromptTemplate

from chains.config import Decide, LLMConfig
from chains.labels import Case, Decider, parse_label
from chains.models.generation import Continuation
from chains.models.local import LocalLLM, load_llm
from chains.models.scoring import encode
from common.errors import UserError
from common.result_cache import ResultCache
from corpus.records import LABELS as ANSWERS

LABELS = ("entailment", "No", "not-so")
QUESTIONS = ["Is it so?", "Aspirin reduced stroke. " * 9, "?"]
PROMPTS = [f"<|begin|><|user|>{text}<|end|><|assistant|>" for text in QUESTIONS]
TEMPLATE = ChatPromptTemplate.from_messages([("human", "{question}")])


@pytest.fixture(scope="module")
def llm(tmp_path_factory) -> LocalLLM:
    return load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path_factory.mktemp("chat"))), dtype="float32"))


def decide(llm: LocalLLM, labels: tuple[str, ...] = LABELS, how="score"):
    prompts = zip(PROMPTS, encode(llm.tokenizer, PROMPTS), strict=True)
    cases = [Case(prompt, {"question": text}) for prompt, text in zip(prompts, QUESTIONS, strict=True)]
    return Decider(llm, TEMPLATE, labels, how).decide(cases)


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
    said = [Continuation(text, 3) for text in written]
    monkeypatch.setattr(
        "chains.models.local_chat.continuation_batches",
        lambda *args, **kwargs: [([2], said[2:]), ([0, 1], said[:2])],
    )
    decisions = decide(llm, how="generate")
    assert [decision.label for decision in decisions] == ["No", "entailment", None]
    assert [decision.output for decision in decisions] == written
    assert all(decision.scores == {} for decision in decisions)
    assert [decision.notes for decision in decisions] == [(), (), ("the generated text names no label",)]


def test_generation_has_room_for_the_longest_label(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(llm, config=llm.config.model_copy(update={"max_new_tokens": 1}))
    longest = max(len(ids) for ids in encode(llm.tokenizer, list(LABELS)))
    assert longest > 1
    assert Decider(short, TEMPLATE, LABELS, "score").reserve == longest
    assert Decider(llm, TEMPLATE, ("no", "yes"), "score").reserve == llm.label_length(("no", "yes"))
    assert Decider(llm, TEMPLATE, ("no", "yes"), "generate").reserve == llm.config.max_new_tokens
    given: list[int] = []

    def write(*args, max_new_tokens: int, **kwargs):
        given.append(max_new_tokens)
        return [(range(len(PROMPTS)), [Continuation("no", 1)] * len(PROMPTS))]

    monkeypatch.setattr("chains.models.local_chat.continuation_batches", write)
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
    assert Decider(llm, TEMPLATE, LABELS, how).decide([]) == []


def test_a_model_without_finite_probabilities_is_refused(tmp_path) -> None:
    broken = load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path)), dtype="float32"))
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"no finite probabilities in torch\.float32\. Set llm\.dtype"):
        decide(broken)


def test_a_label_of_several_words_cannot_be_read_from_text(llm: LocalLLM) -> None:
    for label in ("not entailed", "not_entailed"):
        with pytest.raises(UserError, match=rf"'{label}' is not a plain word.*chain\.decide to score"):
            Decider(llm, TEMPLATE, ("entailed", label), "generate")
    assert decide(llm, ("entailed", "not entailed"))[0].label in ("entailed", "not entailed")


@pytest.mark.parametrize("how", ["score", "generate"])
def test_what_a_cache_holds_is_not_computed_again(llm: LocalLLM, tmp_path: Path, how: Decide) -> None:
    path = tmp_path / "journal.jsonl"
    labels = ("entailment", "no", "maybe")
    plain = decide(llm, labels, how)
    first = decide(replace(llm, cache=ResultCache(path)), labels, how)
    assert first == plain
    broken = replace(llm, model=None, cache=ResultCache(path))  # without a model nothing can be computed
    vars(broken)["fingerprint"] = llm.fingerprint
    again = decide(broken, labels, how)
    assert again == [replace(decision, reused=True) for decision in plain]


def test_what_decides_otherwise_has_other_keys(llm: LocalLLM, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "journal.jsonl")
    kept = replace(llm, cache=cache)
    decide(kept)
    counts = [len(cache)]
    taught = load_llm(llm.config, cache)  # the same folder and settings, other weights
    with torch.no_grad():
        taught.model.get_input_embeddings().weight[5] += 0.01
    longer = load_llm(llm.config.model_copy(update={"max_new_tokens": 40}), cache)
    for other, labels, how in (
        (kept, (*LABELS[:2], "maybe"), "score"),
        (kept, ("no", "yes"), "generate"),
        (longer, ("no", "yes"), "generate"),
        (taught, LABELS, "score"),
        (load_llm(LLMConfig(model=llm.config.model, dtype="bfloat16"), cache), LABELS, "score"),
    ):
        assert not any(decision.reused for decision in decide(other, labels, how))
        counts.append(len(cache))
    assert counts == [len(PROMPTS) * (1 + number) for number in range(6)]
    assert all(decision.reused for decision in decide(load_llm(llm.config, cache)))


def test_an_infinite_log_likelihood_comes_back_from_a_cache(
    llm: LocalLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ResultCache(tmp_path / "journal.jsonl")
    cache.put({Decider(replace(llm, cache=cache), TEMPLATE, LABELS, "score")._key(PROMPTS[0]): [-1.0, -math.inf, -2.0]})
    kept = replace(llm, cache=ResultCache(cache.path))
    decision = Decider(kept, TEMPLATE, LABELS, "score").decide(
        [Case((PROMPTS[0], encode(llm.tokenizer, PROMPTS[:1])[0]), {})]
    )[0]
    assert decision.reused
    assert decision.scores["No"] == 0
    assert decision.label == "entailment"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("yes", "yes"),
        ("Yes.", "yes"),
        (" **Yes**", "yes"),
        ("YES, it does", "yes"),
        ("“Yes”", "yes"),
        ("Answer: No.", "no"),
        ("The answer is no.", "no"),
        ("The final answer is: maybe", "maybe"),
        ("no", "no"),
        ("No, it does not", "no"),
        ("No evidence was found that it helps", "no"),
        ("Maybe not.", "maybe"),
        ("\n\n  maybe\nyes", "maybe"),
        ("yes\nno\nmaybe", "yes"),
        ("Yes, and no harm was seen", "yes"),
        ("Yes, but there was no difference in bleeding", "yes"),
        ("It does: yes", "yes"),
        ("### Yes", "yes"),
        ("(no)", "no"),
        ("Answer:\nyes", "yes"),
        ("**The answer is:**\n\nNo.", "no"),
    ],
)
def test_decided(text: str, label: str) -> None:
    assert parse_label(text, ANSWERS) == label


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n ",
        "...",
        "another",
        "nobody knows",
        "I know",
        "nothing",
        "yesterday",
        "yes and no",
        "Yes or no",
        "yes, no or maybe",
        "yes/no",
        "Yes. No.",
        "maybe yes",
        "no to yes",
        "neither yes nor no",
        "yes-or-no",
        "not yes",
        "Not no",
        "not sure",
        "perhaps",
        "It is unclear",
        "There is no evidence of it",
        "no doubt",
        "No one knows",
        "No clear answer",
        "The study had no control group",
        "entailment",
        "да",
        "是",
    ],
)
def test_undecided_is_none_and_never_maybe(text: str) -> None:
    assert parse_label(text, ANSWERS) is None


def test_other_labels() -> None:
    labels = ("entailment", "neutral", "contradiction")
    assert parse_label("Entailment.", labels) == "entailment"
    assert parse_label("neutral or contradiction", labels) is None
    assert parse_label("yes", labels) is None
