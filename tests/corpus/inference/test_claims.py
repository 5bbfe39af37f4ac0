import json
from pathlib import Path
from typing import Any

import pytest

from common.errors import DataError
from corpus.config import ClaimsConfig
from corpus.inference.claims import ClaimData, load_claims

CORPUS = [
    {"doc_id": 11, "title": "Zinc", "abstract": ["Zinc was given. ", "Zinc shortened colds."], "structured": False},
    {"doc_id": 12, "title": "", "abstract": ["Iron was given."], "structured": False},
]
CLAIMS = [
    {
        "id": 1,
        "claim": "Zinc shortens colds.",
        "evidence": {"11": [{"sentences": [1], "label": "SUPPORT"}, {"sentences": [0, 1], "label": "SUPPORT"}]},
        "cited_doc_ids": [11],
    },
    {"id": 2, "claim": "Iron helps.", "evidence": {}, "cited_doc_ids": [12]},
    {
        "id": 3,
        "claim": "Zinc lengthens colds.",
        "evidence": {"11": [{"sentences": [1], "label": "CONTRADICT"}]},
        "cited_doc_ids": [11, 12],
    },
]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def load_scifact(folder: Path, claims: list[dict[str, Any]] = CLAIMS, **config: Any) -> ClaimData:
    write_jsonl(folder / "corpus.jsonl", CORPUS)
    return load_claims(ClaimsConfig(path=str(write_jsonl(folder / "claims.jsonl", claims)), **config))


def test_scifact_claims_have_evidence_documents_and_sentences(tmp_path: Path) -> None:
    data = load_scifact(tmp_path)
    assert [(claim.id, claim.text, claim.verdict) for claim in data.claims] == [
        ("1", "Zinc shortens colds.", "supported"),
        ("2", "Iron helps.", "not enough evidence"),
        ("3", "Zinc lengthens colds.", "contradicted"),
    ]
    first = data.claims[0].evidence[0]
    assert (first.id, first.document, first.rationales) == ("1:11", "11", (frozenset({1}), frozenset({0, 1})))
    assert [(each.document, each.verdict) for each in data.claims[2].evidence] == [
        ("11", "contradicted"),
        ("12", "not enough evidence"),
    ]
    document = data.by_id["11"]
    assert document.page_content == "Zinc\n\nZinc was given. Zinc shortened colds."
    assert document.metadata == {"title": "Zinc"}
    assert [document.page_content[start:end] for start, end in data.sentences["11"]] == [
        "Zinc was given.",
        "Zinc shortened colds.",
    ]
    assert data.by_id["12"].page_content == "Iron was given."


def test_corpus_setting_is_used_and_limit_applies_to_claims_only(tmp_path: Path) -> None:
    corpus = write_jsonl(tmp_path / "texts.jsonl", CORPUS)
    path = str(write_jsonl(tmp_path / "claims.jsonl", CLAIMS))
    data = load_claims(ClaimsConfig(path=path, corpus=str(corpus), limit=1))
    assert (len(data.claims), len(data.documents)) == (1, 2)
    assert data.name == load_scifact(tmp_path).name


ROWS = """id,evidence,claim,label
7,Zinc shortened colds.,Zinc helps colds,Supports
8,"Iron, not zinc, was given.",zinc helps  colds,Neutral
9,Zinc failed.,Zinc cures,Refutes
10,Zinc worked.,Zinc cures,Supports
"""


def test_rows_with_equal_claims_are_one_claim(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ROWS, encoding="utf-8")
    data = load_claims(ClaimsConfig(path=str(tmp_path / "a.csv")))
    assert [(claim.id, claim.text, claim.verdict) for claim in data.claims] == [
        ("7", "Zinc helps colds", "supported"),
        ("9", "Zinc cures", None),
    ]
    assert data.mixed == 1
    assert {each.id: each.verdict for each in data.claims[0].evidence} == {"7": "supported", "8": "not enough evidence"}
    texts = ["Zinc shortened colds.", "Iron, not zinc, was given.", "Zinc failed.", "Zinc worked."]
    assert [document.page_content for document in data.documents] == texts
    assert data.sentences == {}


def test_column_names_in_capitals_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(ROWS.replace("id,evidence,claim,label", "ID,Evidence, CLAIM,Label"))
    claims = load_claims(ClaimsConfig(path=str(tmp_path / "a.csv"))).claims
    assert [(claim.id, claim.text, claim.verdict) for claim in claims] == [
        ("7", "Zinc helps colds", "supported"),
        ("9", "Zinc cures", None),
    ]


def test_sample_has_claims_of_all_verdicts() -> None:
    data = load_claims(ClaimsConfig(limit=10))
    assert len(data.claims) == 10
    assert {claim.verdict for claim in data.claims} == {"supported", "contradicted", "not enough evidence"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"evidence": {"99": [{"sentences": [0], "label": "SUPPORT"}]}}, "'99', which is not in .*corpus.jsonl"),
        ({"evidence": {"11": [{"sentences": [5], "label": "SUPPORT"}]}}, "numbers of its 2 sentences"),
        ({"evidence": {"11": [{"sentences": [0], "label": "MAYBE"}]}}, "'MAYBE' is not a label"),
        ({"evidence": {"11": "yes"}}, "needs {sentences, label}"),
        ({"evidence": None}, "must be an object, not null"),
        ({"claim": ""}, "claim.*is empty"),
        ({"id": 2}, "occurs twice"),
        (
            {"evidence": {"11": [{"sentences": [0], "label": "SUPPORT"}, {"sentences": [1], "label": "CONTRADICT"}]}},
            "two labels",
        ),
    ],
)
def test_error_in_scifact_names_line_and_problem(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem) as error:
        load_scifact(tmp_path, [*CLAIMS[1:], {**CLAIMS[0], **change}])
    assert "line 3" in str(error.value)


def test_error_in_rows_names_line_and_problem(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("evidence,claim\nZinc,helps\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2.*has no label or gold_label \(columns here: evidence, claim\)"):
        load_claims(ClaimsConfig(path=str(tmp_path / "a.csv")))
    (tmp_path / "b.csv").write_text(ROWS, encoding="utf-8")
    with pytest.raises(DataError, match=r"Set claims\.corpus to null"):
        load_claims(ClaimsConfig(path=str(tmp_path / "b.csv"), corpus="x.jsonl"))
    with pytest.raises(DataError, match="no such file"):
        load_claims(ClaimsConfig(path=str(tmp_path / "none.csv")))


def test_document_that_is_evidence_twice_counts_once_in_the_majority(tmp_path: Path) -> None:
    rows = [("Pain fell.", "SUPPORT"), ("Pain fell.", "SUPPORT"), ("Pain rose.", "REFUTE")]
    claims = [{"claim": "It helps.", "evidence": evidence, "label": label} for evidence, label in rows]
    data = load_claims(ClaimsConfig(path=str(write_jsonl(tmp_path / "claims.jsonl", claims))))
    assert [(len(claim.evidence), claim.verdict) for claim in data.claims] == [(3, None)]
    assert data.mixed == 1


def test_ids_written_by_a_data_frame_are_whole_numbers_or_missing(tmp_path: Path) -> None:
    claims = [{**CLAIMS[0], "id": 1.0, "cited_doc_ids": [11.0]}, {**CLAIMS[1], "id": None}, {**CLAIMS[2], "id": None}]
    data = load_scifact(tmp_path, claims)
    assert [claim.id for claim in data.claims] == ["1", "2", "3"]
    assert [each.document for each in data.claims[0].evidence] == ["11"]


def test_claims_without_id_have_their_line_number(tmp_path: Path) -> None:
    rows = [{"claim": f"Zinc {number}.", "evidence": "Zinc.", "label": "neutral"} for number in range(4)]
    ids: list[object] = [0, 1, None, float("nan")]
    file = write_jsonl(tmp_path / "a.jsonl", [{**row, "id": id} for row, id in zip(rows, ids, strict=True)])
    assert [claim.id for claim in load_claims(ClaimsConfig(path=str(file))).claims] == ["0", "1", "3", "4"]
