"""Public sets of premise-hypothesis pairs: their files, columns, labels, sources and licences."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.errors import DataError
from common.json_file import escape, json_type, read_object, read_text
from corpus.rows import Rows, file_rows, json_lines, record_name, row_id, table_rows, value_text

PairSplit = Literal["train", "dev", "test"]


@dataclass(frozen=True, slots=True)
class PairSet:
    """A public data set of pairs.

    Attributes:
        title: full name.
        source: where to get it, the licence, and whether a login is needed.
        files: accepted file names of each split, from the official releases.
        columns: the official names of premise, hypothesis, label and id.
        labels: the label that models are prompted with, by official label.
        rows: reads a file. If the file has several splits, each row has a value ``split``, the name of its split.
    """

    title: str
    source: str
    files: Mapping[PairSplit, tuple[str, ...]]
    columns: Mapping[str, str]
    labels: Mapping[str, str]
    rows: Callable[[Path], Rows] = file_rows


def _sick_rows(path: Path) -> Rows:
    """Rows of a file of SemEval-2014, which has one split, or of the later SICK.txt, whose SemEval_set names splits."""
    splits = {"TRAIN": "train", "TRIAL": "dev", "TEST": "test"}
    for number, row in table_rows(path, tabs=True):
        if "SemEval_set" not in row:
            yield number, row
        elif (name := row["SemEval_set"].strip()) in splits:
            yield number, {**row, "split": splits[name], "entailment_judgment": row.get("entailment_label", "")}
        else:
            problem = f"{escape(name)!r} is not a split ({', '.join(splits)})."
            raise DataError(path, problem, record=f"line {number}", field="SemEval_set")


def _scifact_rows(path: Path) -> Rows:
    """A row for each pair of a claim and a cited abstract; the premise is the title and the abstract."""
    abstracts = {}
    corpus = path.parent / "corpus.jsonl"
    for line, row in json_lines(corpus):
        sentences = _texts(corpus, record_name(line), row, "abstract")
        abstracts[value_text(row.get("doc_id"))] = "\n".join((str(row.get("title", "")), " ".join(sentences)))
    for number, row in json_lines(path):
        record = record_name(number)
        evidence = row.get("evidence")
        if not isinstance(evidence, dict | None):
            raise DataError(path, f"must be an object, not {json_type(evidence)}.", record=record, field="evidence")
        cited = row.get("cited_doc_ids") or list(evidence or ())
        if not isinstance(cited, list):
            raise DataError(path, f"must be a list, not {json_type(cited)}.", record=record, field="cited_doc_ids")
        for document in map(value_text, cited):
            if document not in abstracts:
                problem = f"cites the abstract {escape(document)}, which is not in {corpus.name}."
                raise DataError(path, problem, record=record)
            yield (
                number,
                {
                    "id": f"{row_id(row, ('id',), number)}-{document}",
                    "abstract": abstracts[document],
                    "label": None if evidence is None else _verdict(path, record, evidence.get(document)),
                    **({"claim": row["claim"]} if "claim" in row else {}),
                },
            )


def _verdict(path: Path, record: str, evidence: object) -> str:
    """The label that all rationales of an abstract have; NOT_ENOUGH_INFO if there is no rationale."""
    rationales = evidence if isinstance(evidence, list) else []
    labels = {str(rationale.get("label")) for rationale in rationales if isinstance(rationale, dict)}
    if len(labels) > 1:
        problem = f"has rationales of one abstract with different labels ({', '.join(sorted(labels))})."
        raise DataError(path, problem, record=record, field="evidence")
    return labels.pop() if labels else "NOT_ENOUGH_INFO"


def _nli4ct_rows(path: Path) -> Rows:
    """A row for each statement; its premise is one section of one trial, or the same section of two trials."""
    trials: dict[str, tuple[Path, Mapping[str, Any]]] = {}

    def section(key: str, row: Mapping[str, Any], role: str) -> str:
        trial, name = str(row[f"{role}_id"]), str(row.get("Section_id"))
        if trial not in trials:
            file = path.parent / "CT json" / f"{Path(trial).name}.json"
            trials[trial] = file, read_object(file)
        file, report = trials[trial]
        return "\n".join((f"{role} trial, {name}:", *_texts(file, f"asked for by {key}", report, name)))

    for key, row in read_object(path).items():
        if not isinstance(row, dict):
            raise DataError(path, f"must be an object, not {json_type(row)}.", record=escape(key))
        if "Primary_id" not in row:
            raise DataError(path, "is missing.", record=escape(key), field="Primary_id")
        roles = ("Primary", "Secondary") if row.get("Secondary_id") else ("Primary",)
        premise = "\n\n".join(section(key, row, role) for role in roles)
        yield escape(key), {"Label": None, **row, "id": key, "premise": premise}


def _rqe_rows(path: Path) -> Rows:
    """A row for each <pair> element of an XML file; a pair with an empty question has no label.

    The label is true if every answer to the FAQ's question (``faq``) also answers the consumer's question (``chq``).
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        root = etree.fromstring(read_text(path).strip().encode(), parser)
    except etree.XMLSyntaxError as error:
        raise DataError(path, f"is not XML: {error.msg}.") from None
    for number, pair in enumerate(root.iter("pair"), start=1):
        row: dict[str, Any] = {**pair.attrib, **{str(child.tag): "".join(child.itertext()) for child in pair}}
        if any(not row.get(name, " ").strip() for name in ("chq", "faq")):  # the official training file has such pairs
            row["value"] = None
        yield f"pair {row.get('pid', number)}", {"value": None, **row}


def _texts(path: Path, record: str, row: Mapping[str, Any], name: str) -> list[str]:
    value = row.get(name)
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        problem = "is missing." if name not in row else "must be a list of texts."
        raise DataError(path, problem, record=record, field=name)
    return [text.strip() for text in value]


_NLI_LABELS = {label: label for label in ("entailment", "neutral", "contradiction")}
_SNLI_COLUMNS = {"premise": "sentence1", "hypothesis": "sentence2", "label": "gold_label", "id": "pairID"}

PAIR_SETS: dict[str, PairSet] = {
    "mednli": PairSet(
        title="MedNLI (Romanov and Shivade, 2018)",
        source="https://physionet.org/content/mednli/, under PhysioNet's credentialed licence, with a login and CITI "
        "training",
        files={"train": ("mli_train_v1.jsonl",), "dev": ("mli_dev_v1.jsonl",), "test": ("mli_test_v1.jsonl",)},
        columns=_SNLI_COLUMNS,
        labels=_NLI_LABELS,
    ),
    "snli": PairSet(
        title="SNLI (Bowman et al., 2015)",
        source="https://nlp.stanford.edu/projects/snli/, under CC BY-SA 4.0, without a login",
        files={"train": ("snli_1.0_train.jsonl",), "dev": ("snli_1.0_dev.jsonl",), "test": ("snli_1.0_test.jsonl",)},
        columns=_SNLI_COLUMNS,
        labels=_NLI_LABELS,
    ),
    "sick": PairSet(
        title="SICK (Marelli et al., 2014)",
        source="https://zenodo.org/records/2787612, under CC BY-NC-SA 3.0, without a login",
        files={
            "train": ("SICK_train.txt", "SICK.txt"),
            "dev": ("SICK_trial.txt", "SICK.txt"),
            "test": ("SICK_test_annotated.txt", "SICK.txt"),
        },
        columns={"premise": "sentence_A", "hypothesis": "sentence_B", "label": "entailment_judgment", "id": "pair_ID"},
        labels={label.upper(): label for label in _NLI_LABELS},
        rows=_sick_rows,
    ),
    "healthver": PairSet(
        title="HealthVer (Sarrouti et al., 2021)",
        source="https://github.com/sarrouti/HealthVer, which states no licence, without a login",
        files={"train": ("healthver_train.csv",), "dev": ("healthver_dev.csv",), "test": ("healthver_test.csv",)},
        columns={"premise": "evidence", "hypothesis": "claim", "label": "label", "id": "id"},
        labels={"Supports": "entailment", "Neutral": "neutral", "Refutes": "contradiction"},
    ),
    "nli4ct": PairSet(
        title="NLI4CT (Jullien et al., SemEval-2023 task 7)",
        source="https://github.com/ai-systems/nli4ct (Complete_dataset.zip), which states no licence, without a login",
        files={"train": ("train.json",), "dev": ("dev.json",), "test": ("Gold_test.json", "test.json")},
        columns={"premise": "premise", "hypothesis": "Statement", "label": "Label", "id": "id"},
        labels={"Entailment": "entailment", "Contradiction": "contradiction"},
        rows=_nli4ct_rows,
    ),
    "scifact": PairSet(
        title="SciFact (Wadden et al., 2020)",
        source="https://github.com/allenai/scifact (script/download-data.sh), claims under CC BY 4.0 and abstracts "
        "under ODC-By 1.0, without a login. The labels of its test claims are not published: use --split dev",
        files={"train": ("claims_train.jsonl",), "dev": ("claims_dev.jsonl",), "test": ("claims_test.jsonl",)},
        columns={"premise": "abstract", "hypothesis": "claim", "label": "label", "id": "id"},
        labels={"SUPPORT": "entailment", "NOT_ENOUGH_INFO": "neutral", "CONTRADICT": "contradiction"},
        rows=_scifact_rows,
    ),
    "mediqa-rqe": PairSet(
        title="MEDIQA 2019 task 2, recognizing question entailment (Ben Abacha et al., 2019)",
        source="https://github.com/abachaa/MEDIQA2019, which states no licence, without a login",
        files={
            "train": ("MEDIQA2019-Task2-RQE-TrainingSet-AMIA2016.xml", "RQE_Train_8588_AMIA2016.xml"),
            "dev": ("MEDIQA2019-Task2-RQE-ValidationSet-AMIA2016.xml", "RQE_Test_302_pairs_AMIA2016.xml"),
            "test": ("MEDIQA2019-Task2-RQE-TestSet-wLabels.xml",),
        },
        columns={"premise": "chq", "hypothesis": "faq", "label": "value", "id": "pid"},
        labels={"true": "true", "false": "false"},
        rows=_rqe_rows,
    ),
}
