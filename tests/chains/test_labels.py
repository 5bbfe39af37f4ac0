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
from corpus.records import LABELS as QA_LABELS

LABELS = ("entailment", "No", "not-so")  # labels of one and of several words, in lower and upper case
QUESTIONS = ["Is it so?", "Aspirin reduced stroke. " * 9, "?"]
PROMPTS = [f"<|begin|><|user|>{text}<|end|><|assistant|>" for text in QUESTIONS]
TEMPLATE = ChatPromptTemplate.from_messages([("human", "{question}")])


def decide_all(llm: LocalLLM, labels: tuple[str, ...] = LABELS, mode="score"):
    prompts = zip(PROMPTS, encode(llm.tokenizer, PROMPTS), strict=True)
    cases = [Case(prompt, {"question": text}) for prompt, text in zip(prompts, QUESTIONS, strict=True)]
    return Decider(llm, TEMPLATE, labels, mode).decide(cases)


def test_scores_are_the_normalised_probabilities_of_the_labels(llm: LocalLLM) -> None:
    for prompt, decision in zip(PROMPTS, decide_all(llm), strict=True):
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
    decision = decide_all(llm, ("no", "maybe " * 200))[0]
    assert decision.scores == {"no": 1.0, "maybe " * 200: 0.0}


def test_generated_labels_are_parsed_regardless_of_case(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["NO, it is not.", " Entailment", "who knows"]
    outputs = [Continuation(text, 3) for text in texts]
    monkeypatch.setattr(
        "chains.models.local_chat.continuation_batches",
        lambda *args, **kwargs: [([2], outputs[2:]), ([0, 1], outputs[:2])],
    )
    decisions = decide_all(llm, mode="generate")
    assert [decision.label for decision in decisions] == ["No", "entailment", None]
    assert [decision.output for decision in decisions] == texts
    assert all(decision.scores == {} for decision in decisions)
    assert [decision.notes for decision in decisions] == [(), (), ("the generated text names no label",)]


def test_reserve_has_room_for_the_longest_label(llm: LocalLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    one_token_llm = replace(llm, config=llm.config.model_copy(update={"max_new_tokens": 1}))
    longest = max(len(ids) for ids in encode(llm.tokenizer, list(LABELS)))
    assert longest > 1
    assert Decider(one_token_llm, TEMPLATE, LABELS, "score").reserve == longest
    assert Decider(llm, TEMPLATE, ("no", "yes"), "score").reserve == llm.label_length(("no", "yes"))
    assert Decider(llm, TEMPLATE, ("no", "yes"), "generate").reserve == llm.config.max_new_tokens
    token_limits: list[int] = []

    def write(*args, max_new_tokens: int, **kwargs):
        token_limits.append(max_new_tokens)
        return [(range(len(PROMPTS)), [Continuation("no", 1)] * len(PROMPTS))]

    monkeypatch.setattr("chains.models.local_chat.continuation_batches", write)
    decide_all(one_token_llm, mode="generate")
    assert token_limits == [longest]


@pytest.mark.parametrize("mode", ["score", "generate"])
def test_model_runs_within_its_guard(llm: LocalLLM, mode) -> None:
    entered: list[bool] = []
    guarded: list[bool] = []

    @contextmanager
    def guard():
        entered.append(True)
        yield
        entered.pop()

    handle = llm.model.register_forward_pre_hook(lambda *args: guarded.append(bool(entered)))
    try:
        decide_all(replace(llm, guard=guard), mode=mode)
    finally:
        handle.remove()
    assert set(guarded) == {True}
    assert entered == []


def test_probabilities_that_are_not_finite_raise_user_error(tmp_path) -> None:
    broken = load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path)), dtype="float32"))
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match=r"no finite probabilities in torch\.float32\. Set llm\.dtype"):
        decide_all(broken)


def test_label_of_several_words_is_scored_but_not_parsed(llm: LocalLLM) -> None:
    for label in ("not entailed", "not_entailed"):
        with pytest.raises(UserError, match=rf"'{label}' is not a plain word.*chain\.decide to score"):
            Decider(llm, TEMPLATE, ("entailed", label), "generate")
    assert decide_all(llm, ("entailed", "not entailed"))[0].label in ("entailed", "not entailed")


@pytest.mark.parametrize("mode", ["score", "generate"])
def test_cached_decisions_need_no_model(llm: LocalLLM, tmp_path: Path, mode: Decide) -> None:
    path = tmp_path / "cache.jsonl"
    labels = ("entailment", "no", "maybe")
    uncached = decide_all(llm, labels, mode)
    first = decide_all(replace(llm, cache=ResultCache(path)), labels, mode)
    assert first == uncached
    without_model = replace(llm, model=None, cache=ResultCache(path))  # can compute nothing
    vars(without_model)["fingerprint"] = llm.fingerprint
    repeated = decide_all(without_model, labels, mode)
    assert repeated == [replace(decision, reused=True) for decision in uncached]


def test_other_labels_modes_and_weights_have_other_cache_keys(llm: LocalLLM, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache.jsonl")
    cached_llm = replace(llm, cache=cache)
    decide_all(cached_llm)
    counts = [len(cache)]
    changed_llm = load_llm(llm.config, cache)  # the same folder and settings, other weights
    with torch.no_grad():
        changed_llm.model.get_input_embeddings().weight[5] += 0.01
    longer_llm = load_llm(llm.config.model_copy(update={"max_new_tokens": 40}), cache)
    for other, labels, mode in (
        (cached_llm, (*LABELS[:2], "maybe"), "score"),
        (cached_llm, ("no", "yes"), "generate"),
        (longer_llm, ("no", "yes"), "generate"),
        (changed_llm, LABELS, "score"),
        (load_llm(LLMConfig(model=llm.config.model, dtype="bfloat16"), cache), LABELS, "score"),
    ):
        assert not any(decision.reused for decision in decide_all(other, labels, mode))
        counts.append(len(cache))
    assert counts == [len(PROMPTS) * (1 + number) for number in range(6)]  # each of the six deciders adds its prompts
    assert all(decision.reused for decision in decide_all(load_llm(llm.config, cache)))


def test_cached_infinite_log_likelihood_gives_probability_0(
    llm: LocalLLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ResultCache(tmp_path / "cache.jsonl")
    cache.put({Decider(replace(llm, cache=cache), TEMPLATE, LABELS, "score")._key(PROMPTS[0]): [-1.0, -math.inf, -2.0]})
    cached_llm = replace(llm, cache=ResultCache(cache.path))
    case = Case((PROMPTS[0], encode(llm.tokenizer, PROMPTS[:1])[0]), {})
    [decision] = Decider(cached_llm, TEMPLATE, LABELS, "score").decide([case])
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
        ("No no no no", "no"),
        ("It does not. No.", "no"),
        ("It isn't, no", "no"),
    ],
)
def test_parse_label_finds_the_label(text: str, label: str) -> None:
    assert parse_label(text, QA_LABELS) == label


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
        "no/yes",
        "no maybe",
        "no - yes",
        "Yes. No.",
        "maybe yes",
        "No / maybe",
        "no yes",
        "yes or not yes",
        "no to yes",
        "neither yes nor no",
        "yes-or-no",
        "not yes",
        "Not no",
        "not sure",
        "I would not say yes",
        "Not a clear yes",
        "It isn't a clear no",
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
def test_parse_label_returns_none_for_undecided_text(text: str) -> None:
    assert parse_label(text, QA_LABELS) is None


def test_parse_label_accepts_other_labels() -> None:
    labels = ("entailment", "neutral", "contradiction")
    assert parse_label("Entailment.", labels) == "entailment"
    assert parse_label("neutral or contradiction", labels) is None
    assert parse_label("yes", labels) is None


@pytest.mark.parametrize(
    "text",
    [
        "It isn't supported",
        "It isn’t supported by the passage",
        "The claim cannot be supported",
        "This was never contradicted",
        "No supported finding",
        "neither supported nor contradicted",
        "It is not directly supported",
        "supported or not supported",
    ],
)
def test_parse_label_returns_none_for_negated_labels(text: str) -> None:
    assert parse_label(text, ("supported", "contradicted", "neutral")) is None


def test_parse_label_reads_the_label_after_another_clause() -> None:
    labels = ("entailment", "neutral", "contradiction")
    assert parse_label("There is no contradiction", labels) is None
    assert parse_label("No, contradiction.", labels) == "contradiction"
    assert parse_label("No - contradiction", labels) == "contradiction"
    assert parse_label("No… contradiction", labels) == "contradiction"
    assert parse_label("Entailment, not contradiction.", labels) == "entailment"
    assert parse_label("Not entailment but neutral", labels) is None
    assert parse_label("It does not follow: neutral", labels) == "neutral"
