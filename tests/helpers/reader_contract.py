"""What every reader of documents promises, as tests: a subclass gives ``name``, ``raw``, ``readers`` and ``limit``.

Formats of this project and classes of a user are held to the same tests.
"""

import gzip
import io
import json
import random
from collections.abc import Callable

import pytest

from common.errors import DataError
from corpus.config import DocumentsConfig
from corpus.documents.extract import Extract
from corpus.documents.readers import Readers
from corpus.documents.source import Source

Read = Callable[..., list[Extract]]


class ReaderContract:
    """``name`` is a file's name, ``raw`` what is in it, ``readers`` the setting ``documents.readers``."""

    @pytest.fixture
    def readers(self) -> dict[str, str]:
        return {}

    @pytest.fixture
    def read(self, readers: dict[str, str]) -> Read:
        def read(name: str, raw: bytes, **settings: int) -> list[Extract]:
            made = Readers(DocumentsConfig.model_validate({"readers": readers, **settings}))
            assert made.can_read(name)
            found = made.read(Source(name, lambda: io.BytesIO(raw)))
            return [one for one in found if isinstance(one, Extract)]

        return read

    def test_documents_have_keys_and_text(self, read: Read, name: str, raw: bytes) -> None:
        documents = read(name, raw)
        assert documents
        assert len({one.key for one in documents}) == len(documents)
        assert all(one.key and one.text.strip() for one in documents)

    def test_parts_lie_in_the_text_and_hold_all_of_it(self, read: Read, name: str, raw: bytes) -> None:
        for one in read(name, raw):
            ends = [0, *(part.end for part in one.parts)]
            assert all(part.start < part.end <= len(one.text) for part in one.parts)
            assert all(end <= part.start for end, part in zip(ends, one.parts, strict=False))
            assert "".join("".join(one.text[part.start : part.end].split()) for part in one.parts) == "".join(
                one.text.split()
            )

    def test_text_and_metadata_can_be_stored(self, read: Read, name: str, raw: bytes) -> None:
        for one in read(name, raw):
            one.text.encode()
            assert "\x00" not in one.text
            assert json.loads(json.dumps(dict(one.metadata))) == one.metadata

    def test_a_second_reading_gives_the_same(self, read: Read, name: str, raw: bytes) -> None:
        assert read(name, raw) == read(name, raw)

    def test_a_compressed_file_has_the_same_text(self, read: Read, name: str, raw: bytes) -> None:
        packed = read(f"{name}.gz", gzip.compress(raw))
        assert [one.text for one in packed] == [one.text for one in read(name, raw)]

    def test_what_is_empty_or_damaged_is_read_or_refused_by_name(self, read: Read, name: str, raw: bytes) -> None:
        chosen = random.Random(3)
        damaged = [b"", b"\n", raw[: len(raw) // 2], raw[::-1], chosen.randbytes(500), b"\xff\xfe" + raw]
        damaged += [bytes(byte ^ (chosen.random() < 0.02) for byte in raw) for _ in range(5)]
        for one in damaged:
            problem: DataError | None = None
            try:
                found = read(name, one)
            except DataError as error:
                problem, found = error, []
            assert problem is None or name in str(problem)
            assert all(document.text.strip() for document in found)
