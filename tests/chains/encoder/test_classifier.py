import json
import shutil
from pathlib import Path

import checkpoints
import pytest
from classifiers import LABELS, make_classifier, make_encoder

from chains.answer import Answer
from chains.encoder.classifier import EncoderNLI, classifier_chain, load_classifier
from chains.encoder.sequence import SequenceClassifier, load_sequence_classifier
from chains.nli import Judgement
from common.errors import UserError
from common.result_cache import CachedResult
from corpus.records import QARecord
from eval.tasks import task_from_name

PAIRS = [
    {"premise": "Aspirin reduced the risk of stroke.", "hypothesis": "Aspirin prevents stroke."},
    {"premise": "It did not change the rate.", "hypothesis": "The rate may be no other."},
    {"premise": "Yes.", "hypothesis": "No, the primary outcome was stroke within 12 months in adults with diabetes."},
]
SENTENCES = [f"Patients number {n} were randomised to aspirin." for n in range(9)]
LONG_TEXT = " ".join(SENTENCES)  # longer than the window of the classifiers, 64 tokens
QA_LABELS = ("yes", "no", "maybe")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def model(folder: Path) -> EncoderNLI:
    return load_classifier(str(folder), dtype="float32")


@pytest.fixture(scope="module")
def qa_folder(tmp_path_factory) -> Path:
    return make_classifier(tmp_path_factory.mktemp("qa"), QA_LABELS, side="left")


def test_probabilities_equal_those_of_transformers(folder: Path, model: EncoderNLI) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    reference = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model.labels == LABELS
    judged = model.batch(list(PAIRS))
    for pair, judgement in zip(PAIRS, judged, strict=True):
        with torch.no_grad():
            logits = reference(**tokenizer(pair["premise"], pair["hypothesis"], return_tensors="pt")).logits[0]
        assert list(judgement.label_scores.values()) == pytest.approx(logits.softmax(-1).tolist(), abs=1e-5)
        assert judgement.label == LABELS[int(logits.argmax())]
        assert (judgement.output, judgement.notes) == (None, ())
        assert model.invoke(pair).label_scores == pytest.approx(judgement.label_scores, abs=1e-5)
    assert len({judgement.label_scores["neutral"] for judgement in judged}) == 3
    assert model.batch([]) == model.judge([]) == []


def test_premise_longer_than_the_window_is_judged_in_parts(model: EncoderNLI, monkeypatch) -> None:
    encoded_parts: list[dict[str, list[int]]] = []
    classify = SequenceClassifier.results

    def record(self, encoded):
        encoded_parts.extend(encoded)
        return classify(self, encoded)

    monkeypatch.setattr(SequenceClassifier, "results", record)
    pair = {"premise": LONG_TEXT, "hypothesis": "It did not."}
    short, judgement = model.batch([PAIRS[0], pair])
    assert short.notes == ()
    assert len(encoded_parts) > 2
    assert max(len(one["input_ids"]) for one in encoded_parts) <= 64
    assert judgement.notes == (
        f"premise judged in {len(encoded_parts) - 1} parts to fit the model's window",
    )  # PAIRS[0] has one part of ``encoded_parts``
    premise = judgement.prompt.removesuffix("\n\nIt did not.")
    assert premise in LONG_TEXT
    assert premise.startswith("Patients number")
    assert premise.endswith("aspirin.")
    alone = model.invoke({**pair, "premise": premise})
    assert alone.label_scores == pytest.approx(judgement.label_scores, abs=1e-5)
    assert alone.notes == ()


def test_least_neutral_part_decides(model: EncoderNLI, monkeypatch) -> None:
    def fixed_scores(self, encoded):
        rows = [(0.2, 0.7, 0.1)] * (len(encoded) - 1) + [(0.1, 0.3, 0.6)]
        return [CachedResult(dict(zip(LABELS, row, strict=True)), reused=False) for row in rows]

    monkeypatch.setattr(SequenceClassifier, "results", fixed_scores)
    judgement = model.invoke({"premise": LONG_TEXT, "hypothesis": "It did not."})
    assert judgement.label == "contradiction"
    assert "number 8 " in judgement.prompt


def test_error_of_one_pair_leaves_the_other_judgements(model: EncoderNLI) -> None:
    inputs = [PAIRS[0], {"premise": "a", "hypothesis": "no " * 90}, {"premise": " ", "hypothesis": "x"}, PAIRS[1]]
    first, long, blank, last = model.batch(inputs, return_exceptions=True)
    assert isinstance(first, Judgement)
    assert isinstance(last, Judgement)
    assert "too long: its second text takes" in str(long)
    assert "needs a premise" in str(blank)


def test_special_tokens_in_a_text_are_replaced_by_spaces(model: EncoderNLI) -> None:
    with_tokens = model.invoke({"premise": "Aspirin [SEP] reduced", "hypothesis": "[CLS]It did"})
    with_spaces = model.invoke({"premise": "Aspirin       reduced", "hypothesis": "It did"})
    assert with_tokens.label_scores == pytest.approx(with_spaces.label_scores, abs=1e-5)


def test_classifier_chain_answers_from_the_gold_context(qa_folder: Path) -> None:
    chain = classifier_chain(str(qa_folder), dtype="float32")
    context = "Aspirin reduced the risk of stroke in adults. It did not change the rate."
    answer = chain.invoke({"question": "Does aspirin reduce stroke?", "context": context, "passage_id": "7"})
    assert set(answer.label_scores) == set(QA_LABELS)
    assert answer.label == answer.text == max(answer.label_scores, key=answer.label_scores.__getitem__)
    assert [passage.id for passage in answer.passages] == ["7"]
    assert answer.notes == ()
    for citation in answer.citations:
        assert context[citation.start : citation.end] == citation.quote
    records = [QARecord(str(n), pair["hypothesis"], (pair["premise"],), QA_LABELS[n]) for n, pair in enumerate(PAIRS)]
    result = task_from_name("qa_gold").evaluate(chain, records, identity={}, quiet=True)
    assert [sample["target"] for sample in result.samples] == list(QA_LABELS)


@pytest.mark.parametrize("side", ["left", "right"])
def test_long_context_is_truncated_at_the_side_of_the_tokenizer(tmp_path: Path, side: str) -> None:
    chain = classifier_chain(str(make_classifier(tmp_path, QA_LABELS, side=side)), dtype="float32")
    answer = chain.invoke({"question": "Were patients number 8 randomised?", "context": LONG_TEXT})
    context_read = answer.prompt.partition("\n\n")[2]
    assert answer.notes == ("context shortened to fit the model's window of 64 tokens",)
    assert context_read in LONG_TEXT
    assert LONG_TEXT.endswith(context_read) if side == "left" else LONG_TEXT.startswith(context_read)
    assert context_read.startswith("Patients")
    assert context_read.endswith("aspirin.")
    assert answer.passages[0].text == LONG_TEXT
    assert answer.citations
    for citation in answer.citations:
        assert LONG_TEXT[citation.start : citation.end] == citation.quote
        assert citation.quote in context_read


def test_errors_of_questions_leave_the_other_answers(qa_folder: Path) -> None:
    chain = classifier_chain(str(qa_folder), dtype="float32")
    without_context, blank_context, long, answered = chain.batch(
        [
            "Is it?",
            {"question": "Is it?", "context": " "},
            {"question": "is it " * 60, "context": "It is."},
            {"question": "Is it?", "context": "It is."},
        ],
        return_exceptions=True,
    )
    assert "from the text that comes with the question" in str(without_context)
    assert "from the text that comes with the question" in str(blank_context)
    assert "too long" in str(long)
    assert isinstance(answered, Answer)


def test_classifier_chain_refuses_other_labels(folder: Path) -> None:
    with pytest.raises(UserError, match="has the label entailment, and answers are yes, no, maybe"):
        classifier_chain(str(folder))


@pytest.mark.parametrize(
    ("make_model", "problem"),
    [
        (make_encoder, "is not a sequence classifier: its weights have no classifier"),
        (checkpoints.make_gpt2, "is not a sequence classifier: its weights have no score"),
        (lambda folder: make_classifier(folder, ("relevance",)), "two or more different labels and has relevance"),
    ],
)
def test_model_that_is_no_classifier_is_refused(tmp_path: Path, make_model, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        load_classifier(str(make_model(tmp_path)))


def test_architecture_without_classifiers_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "m")
    config = json.loads((tmp_path / "m/config.json").read_text())
    (tmp_path / "m/config.json").write_text(json.dumps({**config, "model_type": "clip_vision_model"}))
    with pytest.raises(UserError, match=r"transformers has none for clip_vision_model"):
        load_classifier(str(tmp_path / "m"))


def test_loading_errors_name_the_problem(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="medground train encoder"):
        load_classifier("embedded")
    with pytest.raises(UserError, match="there is no such folder"):
        load_classifier(str(tmp_path / "absent"))
    with pytest.raises(UserError, match="no device 'cuda:99'"):
        load_classifier(str(folder), device="cuda:99")
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken/model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="weights file is broken"):
        load_classifier(str(tmp_path / "broken"))


def test_probabilities_that_are_not_finite_raise_user_error(folder: Path) -> None:
    import torch

    classifier = load_sequence_classifier(str(folder), "float32", "cpu", 4096)
    torch.nn.init.constant_(classifier.model.classifier.bias, float("nan"))
    with pytest.raises(UserError, match="not finite"):
        EncoderNLI(classifier).invoke(PAIRS[0])
