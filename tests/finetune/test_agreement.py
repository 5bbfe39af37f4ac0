import math
from dataclasses import replace
from pathlib import Path

import checkpoints
import pytest
import torch

from chains.config import LLMConfig
from chains.models.local import load_llm
from chains.nli import nli_chain
from common.errors import UserError
from corpus.inference.pairs import NLIPair
from finetune.agreement import PairScorer, compare

LABELS = ("entailment", "neutral", "contradiction")
PAIRS = [
    NLIPair(str(number), f"{number} patients had a stroke.", "Aspirin works.", LABELS[number % 3])
    for number in range(9)
]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_llm(LLMConfig(model=str(checkpoints.make_llama2(tmp_path_factory.mktemp("llama2"))), dtype="float32"))


def test_comparison_by_hand() -> None:
    one = [(-1.0, -2.0, -3.0), (-1.0, -2.0, -3.0)]
    other = [(-1.5, -2.0, -3.0), (-2.0, -1.75, -3.0)]
    found = compare(one, other)
    assert (found.agreement, found.logit_difference) == (0.5, 1.0)
    assert str(found) == "50.00% of the labels agree, largest logit difference 1"
    assert compare(one, one).logit_difference == 0


def test_scores_are_those_that_the_nli_chain_decides_by(llm) -> None:
    scorer = PairScorer(llm, PAIRS, LABELS, family="llama2")
    rows = scorer.scores(llm, "model", quiet=True)
    judged = nli_chain(llm, LABELS).batch([{"premise": p.premise, "hypothesis": p.hypothesis} for p in PAIRS])
    for row, judgement in zip(rows, judged, strict=True):
        total = sum(map(math.exp, row))
        shares = {label: math.exp(value) / total for label, value in zip(LABELS, row, strict=True)}
        assert shares == pytest.approx(judgement.label_scores, abs=1e-4)
    right = sum(judgement.label == pair.label for judgement, pair in zip(judged, PAIRS, strict=True))
    assert scorer.accuracy(rows) == right / len(PAIRS)
    other = PairScorer(llm, PAIRS, LABELS, family="generic").scores(llm, "model", quiet=True)
    assert compare(rows, other).logit_difference > 0


def test_pairs_that_do_not_fit_are_left_out(llm) -> None:
    long = NLIPair("long", "Patients had a stroke. " * 300, "Aspirin works.", "neutral")
    assert PairScorer(llm, [PAIRS[0], long, PAIRS[1]], LABELS, family="llama2").pairs == (PAIRS[0], PAIRS[1])
    with pytest.raises(UserError, match="None of the 1 pairs fits the model's window of 512"):
        PairScorer(llm, [long], LABELS, family="llama2")


def test_nothing_to_compare(llm) -> None:
    with pytest.raises(UserError, match="no pairs"):
        PairScorer(llm, [], LABELS, family="llama2")
    with pytest.raises(UserError, match="two labels or more; there is neutral"):
        PairScorer(llm, PAIRS, ["neutral", "neutral"], family="llama2")


def test_a_model_without_finite_probabilities(tmp_path: Path) -> None:
    broken = load_llm(LLMConfig(model=str(checkpoints.make_gemma(tmp_path)), dtype="float32"))
    scorer = PairScorer(broken, PAIRS, LABELS, family="gemma")
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="no finite probabilities"):
        scorer.scores(replace(broken), "model", quiet=True)
