"""The settings section ``data``: which records a command reads."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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
