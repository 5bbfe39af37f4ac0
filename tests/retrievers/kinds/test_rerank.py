import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from classifiers import make_classifier, make_encoder
from fixed_retriever import FixedRetriever
from safetensors.torch import load_file, save_file
from word_reranker import WordReranker

from chains.encoder.classifier import load_classifier
from common.errors import UserError
from retrievers.kinds.rerank import RerankConfig, Reranker, RerankRetriever, load_reranker

PAIRS = [
    ("does aspirin lower pain", "aspirin lowered pain in adults"),
    ("is it safe", "the vaccine was safe in children"),
]


def test_candidates_are_sorted_by_scores_of_the_cross_encoder() -> None:
    inner = FixedRetriever({"b": 3.0, "a": 2.0, "c": 1.0})  # the text of "a" is "text a"
    reranker = WordReranker()
    retriever = RerankRetriever(inner, reranker, RerankConfig(retriever="inner", model="words", candidates=9))  # type: ignore[arg-type]
    results = retriever.search(["text a", "text c"], 2)
    assert [[document.id for document in documents] for documents in results] == [["a", "b"], ["c", "a"]]
    assert results[0][0].metadata["score"] == 1.0
    assert inner.calls == [(["text a", "text c"], 9)]
    assert len(reranker.pairs) == 6  # 2 questions with 3 candidates each


@pytest.mark.parametrize(
    ("labels", "against"), [(("yes", "no", "maybe"), ("maybe", "neutral")), (("a", "b", "c"), ("c", "A"))]
)
def test_score_of_a_classifier_is_1_minus_the_probability_of_the_labels_against(
    tmp_path: Path, labels: tuple[str, ...], against: tuple[str, ...]
) -> None:
    folder = str(make_classifier(tmp_path, labels))
    classifier = load_classifier(folder, dtype="float32")._classifier
    probabilities = classifier.probabilities(classifier.texts.encode(PAIRS))
    lowered = {label.lower() for label in against}
    expected = [1 - sum(value for label, value in scores.items() if label in lowered) for scores in probabilities]
    assert Reranker(folder, "float32", against).scores(PAIRS) == pytest.approx(np.array(expected), abs=1e-4)


def test_a_model_with_one_output_has_different_scores_from_0_to_1(tmp_path: Path) -> None:
    scores = Reranker(str(make_classifier(tmp_path, ["relevant"])), "float32", ("maybe",)).scores(PAIRS)
    assert scores.shape == (2,)
    assert scores[0] != scores[1]
    assert ((scores > 0) & (scores < 1)).all()


def test_relevance_is_the_sigmoid_even_if_the_models_activation_is_the_identity(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path, ["relevant"])
    (question, _), texts = PAIRS[0], [text for _, text in PAIRS]
    by_default = Reranker(str(folder), "float32").relevance(question, texts)
    config = json.loads((folder / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    (folder / "config.json").write_text(json.dumps(config))
    with_identity = Reranker(str(folder), "float32")
    logits = with_identity.scores([(question, text) for text in texts])
    assert np.abs(logits - by_default).min() > 0.01  # scores are logits, not their sigmoids
    assert with_identity.relevance(question, texts) == pytest.approx(by_default)
    assert by_default == pytest.approx((1 / (1 + np.exp(-logits))).tolist())


def test_long_empty_and_unencodable_texts_have_finite_scores(tmp_path: Path) -> None:
    reranker = Reranker(str(make_classifier(tmp_path)), "float32", ("neutral",))
    pairs = [("q " * 5000, "p " * 5000), ("\ud800", ""), ("?", "脳")]
    assert np.isfinite(reranker.scores(pairs)).all()
    assert reranker.scores([]).shape == (0,)


def test_setting_against_is_rejected_if_it_names_none_or_all_of_the_labels(tmp_path: Path) -> None:
    folder = str(make_classifier(tmp_path, ["one", "two"]))
    for against in (("maybe",), ("one", "two")):
        with pytest.raises(
            UserError, match=r"has the labels one, two\. .* in retrievers\.NAME\.against; for chain\.quote"
        ):
            Reranker(folder, "float32", against)


def test_a_missing_folder_and_an_encoder_without_a_head_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no cross-encoder \\(BertModel has nothing that scores a pair\\)"):
        Reranker(str(make_encoder(tmp_path / "bare")), "float32")
    with pytest.raises(UserError, match="nowhere"):
        Reranker(str(tmp_path / "nowhere"), "float32")


def test_scores_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path, ["relevant"])
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=f"{folder} returned scores that are not finite"):
        Reranker(str(folder), "float32").relevance("is it safe", ["the vaccine was safe"])


def test_the_fingerprint_depends_on_weights_and_labels_but_not_on_the_folder(tmp_path: Path) -> None:
    original = make_classifier(tmp_path / "original")
    copy = Path(shutil.copytree(original, tmp_path / "copy"))
    other = make_classifier(tmp_path / "other", ["x", "neutral"])
    fingerprints = [Reranker(str(folder), "float32", ("neutral",)).fingerprint for folder in (original, copy, other)]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
    assert Reranker(str(original), "float32", ("contradiction",)).fingerprint != fingerprints[0]


def test_load_reranker_loads_a_model_once(tmp_path: Path) -> None:
    folder = str(make_classifier(tmp_path))
    assert load_reranker(folder, "float32", ("neutral",)) is load_reranker(folder, "float32", ("neutral",))
