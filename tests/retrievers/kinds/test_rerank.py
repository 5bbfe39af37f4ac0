import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from classifiers import make_classifier, make_encoder
from fixed_retriever import FixedRetriever
from word_reranker import WordReranker

from chains.encoder.classifier import load_classifier
from common.errors import UserError
from retrievers.kinds.rerank import RerankConfig, Reranker, RerankRetriever, load_reranker

PAIRS = [
    ("does aspirin lower pain", "aspirin lowered pain in adults"),
    ("is it safe", "the vaccine was safe in children"),
]


def test_the_first_candidates_come_in_the_crossencoders_order() -> None:
    inner = FixedRetriever({"b": 3.0, "a": 2.0, "c": 1.0})
    reranker = WordReranker()
    retriever = RerankRetriever(inner, reranker, RerankConfig(retriever="inner", model="words", candidates=9))  # type: ignore[arg-type]
    found = retriever.search(["text a", "text c"], 2)
    assert [[one.id for one in ones] for ones in found] == [["a", "b"], ["c", "a"]]
    assert found[0][0].metadata["score"] == 1.0
    assert inner.calls == [(["text a", "text c"], 9)]
    assert len(reranker.pairs) == 6


def test_no_candidates_no_work() -> None:
    retriever = RerankRetriever(FixedRetriever({}), WordReranker(), RerankConfig(retriever="inner", model="words"))  # type: ignore[arg-type]
    assert retriever.search(["q"], 3) == [[]]


@pytest.mark.parametrize(
    ("labels", "against"), [(("yes", "no", "maybe"), ("maybe", "neutral")), (("a", "b", "c"), ("c", "A"))]
)
def test_a_classifiers_score_is_what_does_not_speak_against(
    tmp_path: Path, labels: tuple[str, ...], against: tuple[str, ...]
) -> None:
    folder = str(make_classifier(tmp_path, labels))
    probabilities = load_classifier(folder, dtype="float32")._classifier.probabilities(
        load_classifier(folder)._classifier.texts.encode(PAIRS)
    )
    lowered = {one.lower() for one in against}
    want = [1 - sum(value for label, value in scores.items() if label in lowered) for scores in probabilities]
    assert Reranker(folder, "float32", against).scores(PAIRS) == pytest.approx(np.array(want), abs=1e-4)


def test_a_model_of_one_output_scores_by_it(tmp_path: Path) -> None:
    found = Reranker(str(make_classifier(tmp_path, ["relevant"])), "float32", ("maybe",)).scores(PAIRS)
    assert found.shape == (2,)
    assert found[0] != found[1]
    assert ((found > 0) & (found < 1)).all()


def test_relevance_lies_between_0_and_1_whatever_the_models_default(tmp_path: Path) -> None:
    folder = make_classifier(tmp_path, ["relevant"])
    (question, _), texts = PAIRS[0], [text for _, text in PAIRS]
    bounded = Reranker(str(folder), "float32").relevance(question, texts)
    config = json.loads((folder / "config.json").read_text())
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    (folder / "config.json").write_text(json.dumps(config))
    logits = Reranker(str(folder), "float32")
    raw = logits.scores([(question, text) for text in texts])
    assert raw.min() < 0 or raw.max() > 1
    assert logits.relevance(question, texts) == pytest.approx(bounded)
    assert bounded == pytest.approx((1 / (1 + np.exp(-raw))).tolist())


def test_long_and_strange_pairs_are_scored(tmp_path: Path) -> None:
    reranker = Reranker(str(make_classifier(tmp_path)), "float32", ("neutral",))
    strange = [("q " * 5000, "p " * 5000), ("\ud800", ""), ("?", "脳")]
    assert np.isfinite(reranker.scores(strange)).all()
    assert reranker.scores([]).shape == (0,)


def test_labels_of_which_none_or_all_speak_against_are_refused(tmp_path: Path) -> None:
    folder = str(make_classifier(tmp_path, ["one", "two"]))
    for against in (("maybe",), ("one", "two")):
        with pytest.raises(UserError, match=r"has the labels one, two\. Say in against"):
            Reranker(folder, "float32", against)


def test_what_is_no_crossencoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no cross-encoder \\(BertModel has nothing that scores a pair\\)"):
        Reranker(str(make_encoder(tmp_path / "bare")), "float32")
    with pytest.raises(UserError, match="nowhere"):
        Reranker(str(tmp_path / "nowhere"), "float32")


def test_the_fingerprint_knows_the_weights(tmp_path: Path) -> None:
    one = make_classifier(tmp_path / "one")
    same = Path(shutil.copytree(one, tmp_path / "same"))
    other = make_classifier(tmp_path / "other", ["x", "neutral"])
    prints = [Reranker(str(folder), "float32", ("neutral",)).fingerprint for folder in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]
    assert Reranker(str(one), "float32", ("contradiction",)).fingerprint != prints[0]


def test_one_model_is_loaded_once(tmp_path: Path) -> None:
    folder = str(make_classifier(tmp_path))
    assert load_reranker(folder, "float32", ("neutral",)) is load_reranker(folder, "float32", ("neutral",))
