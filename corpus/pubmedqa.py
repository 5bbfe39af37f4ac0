"""PubMedQA (Jin et al. 2019, https://pubmedqa.github.io): its JSON files, its split file and its copy on the hub."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from common.errors import DataError
from common.json_file import JSONObject, escape, json_type, read_object, value_problem
from corpus.config import Subset
from corpus.records import LABELS, Label, QARecord

HUB_ID = "qiaojin/PubMedQA"
_YEAR = re.compile("[0-9]{4}")


def read_records(path: Path | str) -> list[QARecord]:
    """The records of a file in PubMedQA's format (``ori_pqal.json``), in the file's order.

    Each record has ``QUESTION`` (a string) and ``CONTEXTS`` (a list of strings, none empty). Either all records have
    ``final_decision``, or none has it (the unlabelled subset). ``LABELS`` (the sections' headings), ``LONG_ANSWER``,
    ``YEAR`` (a number, or a string of four digits) and ``MESHES`` (a list of strings) may be absent. ``YEAR`` and
    ``MESHES`` may also be null. Other fields are ignored.

    Raises:
        DataError: the file cannot be read, or a record or field is not valid; the message names the record or field.
    """
    path = Path(path)
    values = read_object(path)
    if not values:
        raise DataError(path, "has no record.")
    labelled = any(isinstance(value, dict) and "final_decision" in value for value in values.values())
    return [_record(path, key, value, labelled=labelled) for key, value in values.items()]


def read_split(path: Path | str) -> dict[str, Label]:
    """The answers by record id in a split file (``test_ground_truth.json``), which is one JSON object."""
    path = Path(path)
    answers = read_object(path)
    if not answers:
        raise DataError(path, "has no record.")
    return {_checked_id(path, key): _label(path, key, value, field=None) for key, value in answers.items()}


def read_hub(subset: Subset, revision: str, source: str = HUB_ID) -> list[QARecord]:
    """One subset of PubMedQA from the hub, through the ``datasets`` library and its cache.

    Args:
        subset: the name of the subset on the hub; ``pqa_unlabeled`` has no answers and is only a corpus.
        revision: a commit of the data set's repository.
        source: the repository on the hub, or a local folder with the same layout.

    Raises:
        DataError: a record or field is not valid; the message names the record or field.
        UserError: the hub cannot be reached or has no such data set or revision.
    """
    from datasets import load_dataset

    from common.hub import hub_errors

    with hub_errors("Data set", source):
        rows = load_dataset(source, subset, revision=revision, split="train")
    where, labelled = f"{source} ({subset})", subset != "pqa_unlabeled"
    records: dict[str, QARecord] = {}
    for number, row in enumerate(rows):
        pubid = row.get("pubid")
        if not isinstance(pubid, int | str):
            raise DataError(where, f"must be a number, not {json_type(pubid)}.", record=f"row {number}", field="pubid")
        context = row.get("context")
        context = context if isinstance(context, Mapping) else {}
        value = {
            "QUESTION": row.get("question"),
            "CONTEXTS": context.get("contexts"),
            "LABELS": context.get("labels", []),
            "MESHES": context.get("meshes"),
            "LONG_ANSWER": row.get("long_answer") or "",
            **({"final_decision": row.get("final_decision")} if labelled else {}),
        }
        record = _record(where, str(pubid), value, labelled=labelled)
        if record.id in records:
            raise DataError(where, "occurs twice; ids must be unique.", record=record.id)
        records[record.id] = record
    if not records:
        raise DataError(where, "has no record.")
    return list(records.values())


def _record(where: Path | str, key: str, value: Any, *, labelled: bool) -> QARecord:
    key = _checked_id(where, key)
    if not isinstance(value, dict):
        raise DataError(where, f"must be an object with QUESTION and CONTEXTS, not {json_type(value)}.", record=key)
    if isinstance(value, JSONObject) and value.duplicate_keys:
        raise DataError(where, "occurs twice in the record.", record=key, field=escape(value.duplicate_keys[0]))
    for field, content in value.items():
        if problem := value_problem(field) or value_problem(content):
            raise DataError(where, problem, record=key, field=escape(field))
    for field in ("QUESTION", "CONTEXTS", *(["final_decision"] if labelled else [])):
        if field not in value:
            raise DataError(where, "is missing.", record=key, field=field)
    question = _text(where, key, "QUESTION", value["QUESTION"])
    contexts = _texts(where, key, "CONTEXTS", value["CONTEXTS"])
    if not contexts:
        raise DataError(where, "is empty: a record needs at least one context.", record=key, field="CONTEXTS")
    for field, text in [("QUESTION", question), *((f"CONTEXTS[{n}]", context) for n, context in enumerate(contexts))]:
        if not text.strip():
            raise DataError(where, "is empty.", record=key, field=field)
    return QARecord(
        id=key,
        question=question,
        contexts=contexts,
        label=_label(where, key, value["final_decision"], field="final_decision") if labelled else None,
        sections=_texts(where, key, "LABELS", value.get("LABELS", [])),
        conclusion=_text(where, key, "LONG_ANSWER", value.get("LONG_ANSWER", "")),
        year=_year(where, key, value.get("YEAR")),
        mesh=() if value.get("MESHES") is None else _texts(where, key, "MESHES", value["MESHES"]),
    )


def _checked_id(where: Path | str, key: str) -> str:
    if problem := value_problem(key):
        raise DataError(where, problem, record=ascii(key))
    if not key.strip() or not key.isprintable():
        raise DataError(where, "an id must be printable text and not empty.", record=f'"{escape(key)}"')
    return key


def _text(where: Path | str, key: str, field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise DataError(where, f"must be a text, not {json_type(value)}.", record=key, field=field)
    return value


def _texts(where: Path | str, key: str, field: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DataError(where, f"must be a list of texts, not {json_type(value)}.", record=key, field=field)
    return tuple(_text(where, key, f"{field}[{number}]", item) for number, item in enumerate(value))


def _year(where: Path | str, key: str, value: Any) -> int | None:
    if value in (None, ""):
        return None
    if isinstance(value, bool) or not isinstance(value, int | str) or not _YEAR.fullmatch(str(value)):
        shown = f'"{escape(str(value))}"' if isinstance(value, int | float | str) else json_type(value)
        raise DataError(where, f"must be a year of four digits or null, not {shown}.", record=key, field="YEAR")
    return int(value)


def _label(where: Path | str, key: str, value: Any, *, field: str | None) -> Label:
    if value not in LABELS:
        shown = f'"{escape(value)}"' if isinstance(value, str) else json_type(value)
        raise DataError(where, f"must be yes, no or maybe, not {shown}.", record=key, field=field)
    return cast(Label, value)
