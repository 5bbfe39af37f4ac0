"""Contract tests of document readers, for this project's formats and for users' classes."""

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
    """A subclass provides fixtures: a file's ``name``, its content ``raw``, and the setting ``documents.readers``."""

    @pytest.fixture
    def readers(self) -> dict[str, str]:
        return {}

    @pytest.fixture
    def read(self, readers: dict[str, str]) -> Read:
        def read(name: str, raw: bytes, **settings: int) -> list[Extract]:
            document_readers = Readers(DocumentsConfig.model_validate({"readers": readers, **settings}))
            assert document_readers.can_read(name)
            results = document_readers.read(Source(name, lambda: io.BytesIO(raw)))
            return [result for result in results if isinstance(result, Extract)]

        return read

    def test_documents_have_unique_keys_and_text(self, read: Read, name: str, raw: bytes) -> None:
        documents = read(name, raw)
        assert documents
        assert len({document.key for document in documents}) == len(documents)
        assert all(document.key and document.text.strip() for document in documents)

    def test_parts_are_ordered_and_cover_the_text(self, read: Read, name: str, raw: bytes) -> None:
        for document in read(name, raw):
            text, parts = document.text, document.parts
            ends = [0, *(part.end for part in parts)]
            assert all(part.start < part.end <= len(text) for part in parts)
            assert all(end <= part.start for end, part in zip(ends, parts, strict=False))
            covered = "".join(text[part.start : part.end] for part in parts)
            assert "".join(covered.split()) == "".join(text.split())  # only white space lies between parts

    def test_text_and_metadata_can_be_stored(self, read: Read, name: str, raw: bytes) -> None:
        for document in read(name, raw):
            document.text.encode()  # no lone surrogate
            assert "\x00" not in document.text
            assert json.loads(json.dumps(dict(document.metadata))) == document.metadata

    def test_reading_is_deterministic(self, read: Read, name: str, raw: bytes) -> None:
        assert read(name, raw) == read(name, raw)

    def test_gzipped_file_has_the_same_text(self, read: Read, name: str, raw: bytes) -> None:
        gzipped = read(f"{name}.gz", gzip.compress(raw))
        assert [document.text for document in gzipped] == [document.text for document in read(name, raw)]

    def test_damaged_file_has_text_or_an_error_with_its_name(self, read: Read, name: str, raw: bytes) -> None:
        rng = random.Random(3)
        damaged = [b"", b"\n", raw[: len(raw) // 2], raw[::-1], rng.randbytes(500), b"\xff\xfe" + raw]
        damaged += [bytes(byte ^ (rng.random() < 0.02) for byte in raw) for _ in range(5)]  # 2 % of low bits flipped
        for content in damaged:
            try:
                documents, message = read(name, content), None
            except DataError as error:
                documents, message = [], str(error)
            assert message is None or name in message
            assert all(document.text.strip() for document in documents)
