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


def make_pair(key: str, premise: str, label: str) -> NLIPair:
    return NLIPair(key, premise, "Is there use in zinc? The answer is yes.", label)


PAIRS = [
    make_pair("a", "Zinc works.", "entailment"),
    make_pair("b", "Zinc fails.", "contradiction"),
    make_pair("c", "Iron fails.", "neutral"),
    make_pair("d", "Iron works.", "entailment"),
]


class LabelsOnlyZinc(WordNLI):
    """Gives no label for a premise about iron."""

    def _judge(self, premise: str, hypothesis: str):
        if premise.startswith("Iron"):
            notes = ("the generated text names no label",)
            return Judgement(label=None, output="who knows", prompt="the prompt", notes=notes)
        return super()._judge(premise, hypothesis)


def test_metrics_compare_predicted_labels_with_targets() -> None:
    result = NLITask().evaluate(WordNLI(), PAIRS, identity=IDENTITY, quiet=True)
    assert result.name == "nli"
    assert result.metrics["accuracy"] == 0.75
    assert result.metrics["unparsed"] == 0
    assert result.metrics["recall_entailment"] == 0.5
    assert result.metrics["precision_neutral"] == 0.5
    assert result.metrics["f1_contradiction"] == 1
    assert result.metrics["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_answers_without_label_are_wrong_and_counted() -> None:
    result = NLITask().evaluate(LabelsOnlyZinc(), PAIRS, identity=IDENTITY, quiet=True)
    assert result.metrics["accuracy"] == 0.5
    assert result.metrics["unparsed"] == 2
    assert result.metrics["recall_neutral"] == 0
    assert [sample["prediction"] for sample in result.samples] == ["entailment", "contradiction", None, None]


class AcceptsTwoWords(WordNLI):
    """Cannot judge a premise of more than two words."""

    def judge(self, pairs: Sequence[Pair]):
        judgements = super().judge(pairs)
        return [
            TooLongError("The pair is too long.") if len(premise.split()) > 2 else judgement
            for (premise, _), judgement in zip(pairs, judgements, strict=True)
        ]


def test_a_pair_too_long_for_the_model_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = make_pair("long", "Zinc works very well.", "entailment")
    result = NLITask().evaluate(AcceptsTwoWords(), [PAIRS[0], long, *PAIRS[1:]], identity=IDENTITY, quiet=True)
    assert [sample["id"] for sample in result.samples] == ["a", "b", "c", "d"]
    assert result.metrics["accuracy"] == 0.75
    assert result.left_out == ("long",)
    assert "1 of 5 records are too long" in caplog.text
    written = json.loads(write_results(tmp_path, [result], {}).read_text())
    assert (written["n"], written["left_out"]) == (4, {"nli": ["long"]})


def test_data_in_which_all_pairs_are_too_long_for_the_model_are_refused() -> None:
    long = make_pair("long", "Zinc works very well.", "entailment")
    with pytest.raises(UserError, match="all 1 records are too long"):
        NLITask().evaluate(AcceptsTwoWords(), [long], identity=IDENTITY, quiet=True)


def test_samples_hold_the_fields_of_pair_and_judgement() -> None:
    first, *_, last = NLITask().evaluate(LabelsOnlyZinc(), PAIRS, identity=IDENTITY, quiet=True).samples
    assert first["key"] != last["key"]
    assert {name: value for name, value in last.items() if name != "key"} == {
        "id": "d",
        "premise": "Iron works.",
        "hypothesis": "Is there use in zinc? The answer is yes.",
        "prompt": "the prompt",
        "output": "who knows",
        "label_scores": {},
        "prediction": None,
        "target": "entailment",
        "retrieved": [],
        "notes": ("the generated text names no label",),
    }
    assert first["label_scores"]["entailment"] == 0.9


def test_keys_depend_on_pair_or_prompt_and_on_identity() -> None:
    def keys(judge: WordNLI, pairs: Sequence[NLIPair], **identity: str) -> list[str]:
        return [sample["key"] for sample in NLITask().evaluate(judge, pairs, identity=identity, quiet=True).samples]

    first = keys(WordNLI(), PAIRS, model="m")
    assert len(set(first)) == len(PAIRS)
    other_ids_and_labels = [make_pair(f"{pair.id}2", pair.premise, "neutral") for pair in PAIRS]
    assert first == keys(WordNLI(), other_ids_and_labels, model="m")
    assert set(first).isdisjoint(keys(WordNLI(), PAIRS, model="n"))
    with_prompt = keys(LabelsOnlyZinc(), PAIRS, model="m")
    assert with_prompt[:2] == first[:2]
    assert with_prompt[2] == with_prompt[3] != first[2]  # two pairs with the same prompt


def test_pairs_are_classified_in_chunks_and_samples_keep_their_order() -> None:
    model = WordNLI()
    pairs = [
        make_pair(str(n), f"Zinc {'works' if n % 2 else 'fails'} {n}.", "entailment") for n in range(2 * CHUNK + 1)
    ]
    result = NLITask(tag="many").evaluate(model, pairs, identity=IDENTITY, quiet=True)
    assert [len(call) for call in model.calls] == [CHUNK, CHUNK, 1]
    assert [sample["id"] for sample in result.samples] == [p.id for p in pairs]
    assert result.metrics["accuracy"] == CHUNK / len(pairs)
    assert result.name == "nli_many"


def test_a_label_unknown_to_the_model_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"nli: the data has the label maybe, and the model knows entailment, .*pairs\.labels"
    ):
        NLITask().evaluate(WordNLI(), [*PAIRS, make_pair("e", "Zinc.", "maybe")], identity=IDENTITY, quiet=True)


def test_error_of_a_pair_names_the_pair() -> None:
    # For "TOO LONG", WordNLI returns a UserError. Only a TooLongError would leave the pair out.
    with pytest.raises(UserError, match="nli, pair e: The pair is too long"):
        NLITask().evaluate(WordNLI(), [*PAIRS, make_pair("e", "TOO LONG", "neutral")], identity=IDENTITY, quiet=True)


def test_an_unexpected_exception_is_raised_unchanged() -> None:
    class Broken(WordNLI):
        def judge(self, pairs: Sequence[Pair]):
            raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        NLITask().evaluate(Broken(), PAIRS, identity=IDENTITY, quiet=True)


def test_no_pairs_are_refused() -> None:
    with pytest.raises(UserError, match="there are no pairs"):
        NLITask().evaluate(WordNLI(), [], identity=IDENTITY, quiet=True)


def test_progress_bar_is_on_stderr_and_absent_if_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    NLITask().evaluate(WordNLI(), PAIRS, identity=IDENTITY, quiet=True)
    assert capsys.readouterr() == ("", "")
    NLITask().evaluate(WordNLI(), PAIRS, identity=IDENTITY)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err


@pytest.mark.parametrize("decide", ["score", "generate"])
def test_a_small_language_model_is_measured(tmp_path, decide) -> None:
    llm = load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path)), dtype="float32"))
    result = NLITask().evaluate(nli_chain(llm, decide=decide), PAIRS, identity=IDENTITY, quiet=True)
    assert 0 <= result.metrics["accuracy"] <= 1
    assert all(sample["prompt"] for sample in result.samples)
    assert len({sample["key"] for sample in result.samples}) == len(PAIRS)
