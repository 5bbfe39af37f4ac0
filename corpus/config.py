"""The settings sections ``data``, ``pairs``, ``claims`` and ``documents``."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.encoding import is_text_encoding
from corpus.inference.pair_sets import PAIR_SETS, PairSplit

Split = Literal["train", "dev", "test", "all"]
Subset = Literal["pqa_labeled", "pqa_unlabeled", "pqa_artificial"]


class DataConfig(BaseModel):
    """Question records and their split."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(
        default="sample",
        min_length=1,
        description="Data set: sample, pubmedqa (qiaojin/PubMedQA on the hub), or a JSON file in PubMedQA's format. "
        "A local file called sample is written ./sample.",
    )
    split: Split = Field(
        default="test",
        description="Records to use. test: those of the split file; dev: a fixed tenth of the others; train: the rest.",
    )
    split_file: str | None = Field(
        default=None,
        description="JSON file of test ids and answers; null for test_ground_truth.json beside a local file.",
    )
    limit: int | None = Field(
        default=None, ge=1, strict=True, description="Maximum number of records, from the first of the split."
    )
    subset: Subset = Field(
        default="pqa_labeled",
        description="Subset of the hub's data set. pqa_unlabeled can be searched, but not evaluated.",
    )
    revision: str = Field(
        default="9001f2853fb87cab8d220904e0de81ac6973b318",
        description="Commit of the hub's data set, pinned so that figures stay reproducible.",
    )


class PairColumns(BaseModel):
    """Column names or JSON fields of a file of pairs; the defaults are the columns of MedNLI and SNLI."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    premise: str = Field(default="sentence1", min_length=1, description="The premise.")
    hypothesis: str = Field(default="sentence2", min_length=1, description="The hypothesis.")
    label: str = Field(default="gold_label", min_length=1, description="The label.")
    id: str | None = Field(default="pairID", description="The id; null numbers the lines.")


class PairFiles(BaseModel):
    """File names of the splits in a folder; the defaults are MedNLI's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    train: str = Field(default="mli_train_v1.jsonl", min_length=1, description="The training pairs.")
    dev: str = Field(default="mli_dev_v1.jsonl", min_length=1, description="The dev pairs.")
    test: str = Field(default="mli_test_v1.jsonl", min_length=1, description="The test pairs.")


class PairsConfig(BaseModel):
    """Premise-hypothesis pairs for natural language inference and their split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        default="sample",
        min_length=1,
        description=f"Data set: sample, a public set by name ({', '.join(PAIR_SETS)}), a folder of the files below, or "
        "one file. A local file or folder of such a name is written ./NAME.",
    )
    folder: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of a public set's files as downloaded; null for ./NAME. Without one, snli comes from the "
        "hub.",
    )
    split_by: str | None = Field(
        default=None,
        min_length=1,
        description="Column that divides the pairs of one file, or of a part of a public set. Rows whose value is "
        "train, dev (or validation) or test go to that split. Other values are divided into 70 % train, 10 % dev and "
        "20 % test; rows with the same value stay in one split.",
    )
    split: PairSplit = Field(default="test", description="Pairs that are evaluated.")
    files: PairFiles = PairFiles()
    columns: PairColumns = PairColumns()
    labels: dict[str, str] = Field(
        default={label: label for label in ("entailment", "neutral", "contradiction")},
        description="The word in the prompt for each label in the files; a mapping here replaces all of it. A public "
        "set brings its own columns and labels unless you set others.",
    )
    unlabelled: tuple[str, ...] = Field(
        default=("-", "-1"),
        description="Labels of rows without a label, which are left out and counted. Empty labels, null and NaN always "
        "are.",
    )
    limit: int | None = Field(
        default=None, ge=1, strict=True, description="Maximum number of pairs, from the first of the split."
    )
    revision: str = Field(
        default="cdb5c3d5eed6ead6e5a341c8e56e669bb666725b", description="Commit of the hub's data set."
    )

    @model_validator(mode="before")
    @classmethod
    def _default_to_public_set(cls, values: Any) -> Any:
        """If ``path`` names a public set, replace default columns and labels by those of the set."""
        public = PAIR_SETS.get(str(values.get("path"))) if isinstance(values, dict) else None
        if public is None:
            return values
        columns, labels = values.get("columns", {}), values.get("labels")
        columns = columns.model_dump() if isinstance(columns, PairColumns) else columns
        if isinstance(columns, dict):
            defaults = PairColumns().model_dump()
            changed = {field: name for field, name in columns.items() if name != defaults.get(field, ...)}
            values = {**values, "columns": {**public.columns, **changed}}
        if labels is None or labels == cls.model_fields["labels"].default:
            values = {**values, "labels": dict(public.labels)}
        return values

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        if len(set(labels.values())) < 2 or any(not word.strip() for word in labels.values()):
            raise ValueError("must name two or more labels, none of them empty")
        return labels


class ClaimsConfig(BaseModel):
    """Claims with their evidence, for `eval check`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        default="sample",
        min_length=1,
        description="Claims: sample, a JSON lines file in SciFact's format, or a .csv, .tsv or .jsonl file with the "
        "columns evidence, claim and label, as HealthVer's.",
    )
    corpus: str | None = Field(
        default=None,
        min_length=1,
        description="Documents of claims in SciFact's format; null for corpus.jsonl beside the claims.",
    )
    limit: int | None = Field(default=None, ge=1, strict=True, description="Maximum number of claims, from the first.")


class DocumentColumns(BaseModel):
    """Column names or JSON fields of .csv, .tsv and .jsonl files. Only ``text`` is required."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    text: str = Field(default="text", min_length=1, description="The text.")
    id: str | None = Field(default="id", description="The id. Without this column, rows are numbered from 1.")
    title: str | None = Field(default="title", description="The title.")
    year: str | None = Field(default="year", description="The year of publication.")
    mesh: str | None = Field(
        default="mesh", description="MeSH headings: a list, or a text with semicolons between them."
    )


Suffix = Annotated[str, Field(pattern=r"^\.[^/\\\s]*[^/\\\s.]$")]
ClassPath = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$")]


class DocumentsConfig(BaseModel):
    """How ``index`` reads your files and cuts them into passages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_tokens: int | None = Field(
        default=None,
        ge=16,
        strict=True,
        description="Maximum number of tokens in a passage; null for as many as the embedders read.",
    )
    max_bytes: int = Field(
        default=100_000_000,
        ge=100_000,  # well above the readers' blocks of about 10,000 bytes
        strict=True,
        description="Maximum size of a file, unpacked, in bytes; for .xml, .nbib, .csv and .jsonl files, of a record.",
    )
    max_seconds: int = Field(
        default=300,
        ge=1,
        strict=True,
        description="Maximum time to read a file, in seconds; for .xml, .nbib, .csv and .jsonl files, a record.",
    )
    max_memory: int = Field(
        default=2_000_000_000,
        ge=200_000_000,  # the reading process itself needs about 60,000,000
        strict=True,
        description="Maximum memory to read a file with, in bytes.",
    )
    max_pages: int = Field(default=5_000, ge=1, strict=True, description="Maximum number of pages of a PDF file.")
    follow_links: bool = Field(
        default=False, strict=True, description="Read files that symbolic links in a folder point to outside of it."
    )
    encoding: str | None = Field(
        default=None,
        description="Encoding of the text, Markdown, .nbib, CSV and .jsonl files that are not Unicode, such as "
        "windows-1252; null to report such files.",
    )
    columns: DocumentColumns = DocumentColumns()
    readers: dict[Suffix, ClassPath] = Field(
        default={},
        description="Readers of your own by file name suffix, such as .rtf: my_module.RTFParser. Each is a LangChain "
        "BaseBlobParser class, made without arguments.",
    )

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str | None) -> str | None:
        if value is not None and not is_text_encoding(value):
            raise ValueError(f"there is no encoding {value!r}; windows-1252, iso-8859-15 and mac-roman are some")
        return value
