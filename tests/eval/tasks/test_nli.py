import json
from collections.abc import Sequence
from pathlib import Path

import checkpoints
import pytest
from word_nli import WordNLI

from chains.config import LLMConfig
from chains.models.base import TooLongError
from chains.models.local import load_llm
from chains.nli import Judgement, Pair, nli_chain
from common.errors import UserError
from corpus.inference.pairs import NLIPair
from eval.results import write_results
from eval.tasks import NLITask
from eval.tasks.nli import CHUNK

IDENTITY = {"model": "words"}


def pair(key: str, premise: str, label: str) -> NLIPair:
    return NLIPair(key, premise, "Is there use in zinc? The answer is yes.", label)


PAIRS = [
    pair("a", "Zinc works.", "entailment"),
    pair("b", "Zinc fails.", "contradiction"),
    pair("c", "Iron fails.", "neutral"),
    pair("d", "Iron works.", "entailment"),
]


class Unsure(WordNLI):
    """Names no label where the premise is about iron."""

    def _one(self, premise: str, hypothesis: str):
        if premise.startswith("Iron"):
            return Judgement(
                label=None, output="who knows", prompt="asked", notes=("the generated text names no label",)
            )
        return super()._one(premise, hypothesis)


def test_figures() -> None:
    result = NLITask().evaluate(WordNLI(), PAIRS, identity=IDENTITY, quiet=True)
    assert result.name == "nli"
    assert result.metrics["accuracy"] == 0.75
    assert result.metrics["unparsed"] == 0
    assert result.metrics["recall_entailment"] == 0.5
    assert result.metrics["precision_neutral"] == 0.5
    assert result.metrics["f1_contradiction"] == 1
    assert result.metrics["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_unparsed_judgements_are_wrong_and_counted() -> None:
    result = NLITask().evaluate(Unsure(), PAIRS, identity=IDENTITY, quiet=True)
    assert result.metrics["accuracy"] == 0.5
    assert result.metrics["unparsed"] == 2
    assert result.metrics["recall_neutral"] == 0
    assert [sample["prediction"] for sample in result.samples] == ["entailment", "contradiction", None, None]


class Short(WordNLI):
    """Takes no premise of more than two words."""

    def judge(self, pairs: Sequence[Pair]):
        found = super().judge(pairs)
        return [
            TooLongError("The pair is too long.") if len(premise.split()) > 2 else judgement
            for (premise, _), judgement in zip(pairs, found, strict=True)
        ]


def test_a_long_pair_is_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = pair("long", "Zinc works very well.", "entailment")
    result = NLITask().evaluate(Short(), [PAIRS[0], long, *PAIRS[1:]], identity=IDENTITY, quiet=True)
    assert [sample["id"] for sample in result.samples] == ["a", "b", "c", "d"]
    assert result.metrics["accuracy"] == 0.75
    assert result.left_out == ("long",)
    assert "1 of 5 records are too long" in caplog.text
    written = json.loads(write_results(tmp_path, [result], {}).read_text())
    assert (written["n"], written["left_out"]) == (4, {"nli": ["long"]})


def test_pairs_that_are_all_too_long() -> None:
    long = pair("long", "Zinc works very well.", "entailment")
    with pytest.raises(UserError, match="all 1 records are too long"):
        NLITask().evaluate(Short(), [long], identity=IDENTITY, quiet=True)


def test_samples_carry_what_the_judgement_carries() -> None:
    first, *_, last = NLITask().evaluate(Unsure(), PAIRS, identity=IDENTITY, quiet=True).samples
    keys = [dict(sample).pop("key") for sample in (first, last)]
    assert len(set(keys)) == 2
    assert {name: value for name, value in last.items() if name != "key"} == {
        "id": "d",
        "premise": "Iron works.",
        "hypothesis": "Is there use in zinc? The answer is yes.",
        "prompt": "asked",
        "output": "who knows",
        "label_scores": {},
        "prediction": None,
        "target": "entailment",
        "retrieved": [],
        "notes": ("the generated text names no label",),
    }
    assert first["label_scores"]["entailment"] == 0.9


def test_keys_follow_the_pair_the_prompt_and_the_identity() -> None:
    def keys(judge: WordNLI, pairs: Sequence[NLIPair], **identity: str) -> list[str]:
        return [sample["key"] for sample in NLITask().evaluate(judge, pairs, identity=identity, quiet=True).samples]

    first = keys(WordNLI(), PAIRS, model="m")
    assert len(set(first)) == len(PAIRS)
    assert first == keys(WordNLI(), [pair(f"{p.id}2", p.premise, "neutral") for p in PAIRS], model="m")
    assert set(first).isdisjoint(keys(WordNLI(), PAIRS, model="n"))
    changed = keys(Unsure(), PAIRS, model="m")
    assert changed[:2] == first[:2]
    assert changed[2] == changed[3] != first[2]  # one prompt is one key, whatever the pair


def test_pairs_go_to_the_model_in_chunks_and_come_back_in_order() -> None:
    model = WordNLI()
    pairs = [pair(str(n), f"Zinc {'works' if n % 2 else 'fails'} {n}.", "entailment") for n in range(2 * CHUNK + 1)]
    result = NLITask(tag="many").evaluate(model, pairs, identity=IDENTITY, quiet=True)
    assert [len(call) for call in model.passes] == [CHUNK, CHUNK, 1]
    assert [sample["id"] for sample in result.samples] == [p.id for p in pairs]
    assert result.metrics["accuracy"] == CHUNK / len(pairs)
    assert result.name == "nli_many"


def test_a_label_that_the_model_does_not_know_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"nli: the data has the label maybe, and the model knows entailment, .*pairs\.labels"
    ):
        NLITask().evaluate(WordNLI(), [*PAIRS, pair("e", "Zinc.", "maybe")], identity=IDENTITY, quiet=True)


def test_a_pair_that_cannot_be_judged_is_named() -> None:
    with pytest.raises(UserError, match="nli, pair e: The pair is too long"):
        NLITask().evaluate(WordNLI(), [*PAIRS, pair("e", "TOO LONG", "neutral")], identity=IDENTITY, quiet=True)


def test_what_is_broken_is_not_taken_for_a_users_mistake() -> None:
    class Broken(WordNLI):
        def judge(self, pairs: Sequence[Pair]):
            raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        NLITask().evaluate(Broken(), PAIRS, identity=IDENTITY, quiet=True)


def test_no_pairs_and_odd_names_are_refused() -> None:
    with pytest.raises(UserError, match="there are no pairs"):
        NLITask().evaluate(WordNLI(), [], identity=IDENTITY, quiet=True)
    with pytest.raises(UserError, match="file name"):
        NLITask(tag="a/b").evaluate(WordNLI(), PAIRS, identity=IDENTITY, quiet=True)


def test_the_bar_is_on_stderr_and_can_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    NLITask().evaluate(WordNLI(), PAIRS, identity=IDENTITY, quiet=True)
    assert capsys.readouterr() == ("", "")
    NLITask().evaluate(WordNLI(), PAIRS, identity=IDENTITY)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err


@pytest.mark.parametrize("decide", ["score", "generate"])
def test_a_real_model(tmp_path, decide) -> None:
    llm = load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path)), dtype="float32"))
    result = NLITask().evaluate(nli_chain(llm, decide=decide), PAIRS, identity=IDENTITY, quiet=True)
    assert 0 <= result.metrics["accuracy"] <= 1
    assert all(sample["prompt"] for sample in result.samples)
    assert len({sample["key"] for sample in result.samples}) == len(PAIRS)
