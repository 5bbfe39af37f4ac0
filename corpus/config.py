"""The settings sections ``data``, ``pairs`` and ``documents``: what a command reads."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Split = Literal["train", "dev", "test", "all"]
Subset = Literal["pqa_labeled", "pqa_unlabeled", "pqa_artificial"]


class DataConfig(BaseModel):
    """Where question records come from and which of them are taken.

    Attributes:
        path: ``sample`` (the embedded sample), ``pubmedqa`` (qiaojin/PubMedQA on the Hugging Face hub) or a local JSON
            file in PubMedQA's format. A local file called ``sample`` is written ``./sample``.
        split: ``test`` is what the split file names, ``dev`` a fixed tenth of the rest, ``train`` what remains.
        split_file: JSON object from test id to answer; by default ``test_ground_truth.json`` beside a local file.
        limit: take at most so many records of the split, from its beginning.
        subset: which part of the hub's data set is meant.
        revision: the commit of the hub's data set; pinned, so that a figure stays reproducible.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(default="sample", min_length=1)
    split: Split = "test"
    split_file: str | None = None
    limit: int | None = Field(default=None, ge=1, strict=True)
    subset: Subset = "pqa_labeled"
    revision: str = "9001f2853fb87cab8d220904e0de81ac6973b318"


PairSplit = Literal["train", "dev", "test"]


class PairColumns(BaseModel):
    """Which column or JSON field holds what, by default MedNLI's and SNLI's. Without an ``id`` lines are counted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    premise: str = Field(default="sentence1", min_length=1)
    hypothesis: str = Field(default="sentence2", min_length=1)
    label: str = Field(default="gold_label", min_length=1)
    id: str | None = "pairID"


class PairFiles(BaseModel):
    """The splits' files in a folder; the defaults are MedNLI's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    train: str = Field(default="mli_train_v1.jsonl", min_length=1)
    dev: str = Field(default="mli_dev_v1.jsonl", min_length=1)
    test: str = Field(default="mli_test_v1.jsonl", min_length=1)


class PairsConfig(BaseModel):
    """Where premise-hypothesis pairs come from (natural language inference).

    Attributes:
        path: ``sample``, ``snli`` (stanfordnlp/snli on the hub), a folder with a file for each split, or one file.
        split: which pairs are measured.
        files: the names of the splits' files in a folder.
        columns: which column holds what.
        labels: from the file's labels to the words that the model is to say; two or more. Those of a settings file
            stand in the place of the defaults, not beside them.
        unlabelled: what a row says that has no label; such rows are left out and counted.
        limit: take at most so many pairs of a split, from its beginning.
        revision: the commit of the hub's data set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(default="sample", min_length=1)
    split: PairSplit = "test"
    files: PairFiles = PairFiles()
    columns: PairColumns = PairColumns()
    labels: dict[str, str] = {label: label for label in ("entailment", "neutral", "contradiction")}
    unlabelled: tuple[str, ...] = ("-", "-1")
    limit: int | None = Field(default=None, ge=1, strict=True)
    revision: str = "cdb5c3d5eed6ead6e5a341c8e56e669bb666725b"

    @field_validator("labels")
    @classmethod
    def _two_or_more(cls, labels: dict[str, str]) -> dict[str, str]:
        if len(set(labels.values())) < 2 or any(not word.strip() for word in labels.values()):
            raise ValueError("must name two or more labels, none of them empty")
        return labels


class DocumentColumns(BaseModel):
    """Which column of a table, or field of a JSON line, holds what.

    ``text`` must be there; of the others those are used that are. Without an ``id`` rows are counted from 1. ``mesh``
    is a list, or a text with semicolons between the headings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: str = Field(default="text", min_length=1)
    id: str | None = "id"
    title: str | None = "title"
    year: str | None = "year"
    mesh: str | None = "mesh"


class DocumentsConfig(BaseModel):
    """How the user's own files are read and cut into passages.

    Attributes:
        max_tokens: tokens of a passage at most; null is all that the embedder reads of a text.
        max_bytes: how large a file may be, unpacked; for files of records (XML, .nbib, .csv, .jsonl) a record.
        max_pages: how many pages a PDF file may have.
        follow_links: read files that links in a folder lead to outside of it.
        columns: which column of a .csv, .tsv or .jsonl file holds what.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int | None = Field(default=None, ge=16, strict=True)
    max_bytes: int = Field(default=100_000_000, ge=100_000, strict=True)  # readers take in some 10,000 at a time
    max_pages: int = Field(default=5_000, ge=1, strict=True)
    follow_links: bool = Field(default=False, strict=True)
    columns: DocumentColumns = DocumentColumns()
