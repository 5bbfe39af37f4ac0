import math
from dataclasses import replace
from pathlib import Path

import checkpoints
import numpy as np
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
    NLIPair(str(count), f"{count} patients had a stroke.", "Aspirin works.", LABELS[count % 3]) for count in range(9)
]


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return load_llm(LLMConfig(model=str(checkpoints.make_llama2(tmp_path_factory.mktemp("llama2"))), dtype="float32"))


def test_compare_gives_agreement_and_largest_difference() -> None:
    first = np.array([(-1.0, -2.0, -3.0), (-1.0, -2.0, -3.0)])
    second = np.array([(-1.5, -2.0, -3.0), (-2.0, -1.75, -3.0)])
    comparison = compare(first, second)
    assert (comparison.agreement, comparison.logit_difference) == (0.5, 1.0)
    assert str(comparison) == "50.00% of the labels agree, largest logit difference 1"
    assert compare(first, first).logit_difference == 0


def test_normalised_scores_are_the_label_scores_of_nli_chain(llm) -> None:
    scorer = PairScorer(llm, PAIRS, LABELS, family="llama2")
    rows = scorer.scores(llm, "model", quiet=True)
    inputs = [{"premise": pair.premise, "hypothesis": pair.hypothesis} for pair in PAIRS]
    judgements = nli_chain(llm, LABELS).batch(inputs)
    for row, judgement in zip(rows, judgements, strict=True):
        total = sum(map(math.exp, row))
        probabilities = {label: math.exp(logit) / total for label, logit in zip(LABELS, row, strict=True)}
        assert probabilities == pytest.approx(judgement.label_scores, abs=1e-4)
    right = sum(judgement.label == pair.label for judgement, pair in zip(judgements, PAIRS, strict=True))
    assert scorer.accuracy(rows) == right / len(PAIRS)
    other_prompts = PairScorer(llm, PAIRS, LABELS, family="generic").scores(llm, "model", quiet=True)
    assert compare(rows, other_prompts).logit_difference > 0


def test_pairs_longer_than_the_window_are_left_out(llm) -> None:
    long = NLIPair("long", "Patients had a stroke. " * 300, "Aspirin works.", "neutral")
    assert PairScorer(llm, [PAIRS[0], long, PAIRS[1]], LABELS, family="llama2").pairs == (PAIRS[0], PAIRS[1])
    with pytest.raises(UserError, match="None of the 1 pairs fits the model's window of 512"):
        PairScorer(llm, [long], LABELS, family="llama2")


def test_scores_that_are_not_finite_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = load_llm(LLMConfig(model=str(checkpoints.make_gemma(tmp_path)), dtype="float32"))
    scorer = PairScorer(broken, PAIRS, LABELS, family="gemma")
    with torch.no_grad():
        broken.model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="no finite probabilities"):
        scorer.scores(replace(broken), "model", quiet=True)
    monkeypatch.setattr("finetune.agreement.label_log_likelihoods", lambda *_: [(-math.inf, -1.0, -1.0)])
    with pytest.raises(UserError, match="no finite probabilities"):
        scorer.scores(broken, "model", quiet=True)
