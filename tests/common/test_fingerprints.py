import numpy as np
from langchain_core.documents import Document

from common.fingerprints import content_key, documents_digest


def test_content_key_is_sha256_hex_independent_of_order() -> None:
    key = content_key(prompt="Does it?", identity={"model": "m", "dtype": "float32"})
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    assert key == content_key(identity={"dtype": "float32", "model": "m"}, prompt="Does it?")


def test_different_contents_have_different_keys() -> None:
    contents: list[dict[str, object]] = [
        {"prompt": "Does it?", "identity": {"model": "m", "limit": 8}},
        {"prompt": "Does it? ", "identity": {"model": "m", "limit": 8}},
        {"prompt": "Does it?", "identity": {"model": "n", "limit": 8}},
        {"prompt": "Does it?", "identity": {"model": "m", "limit": 9}},
        {"prompt": "Does it?", "identity": {"model": "m", "limit": "8"}},
        {"prompt": None, "identity": {"model": "m", "limit": 8}},
        {"question": "Does it?", "identity": {"model": "m", "limit": 8}},
        {"prompt": "Does \ud800 it?", "identity": {"model": "m", "limit": 8}},
    ]
    assert len({content_key(**content) for content in contents}) == len(contents)


def test_numpy_number_has_key_of_python_number() -> None:
    assert content_key(score=np.float64(0.5)) == content_key(score=0.5)


def with_metadata(**metadata: int) -> list[Document]:
    return [Document(id="a", page_content="b", metadata=metadata)]


def test_documents_digest_includes_metadata_only_on_request() -> None:
    assert documents_digest(with_metadata()) == documents_digest(with_metadata(year=2011))
    digests = {documents_digest(with_metadata(**metadata), metadata=True) for metadata in ({}, {"year": 2011})}
    assert len(digests) == 2


def test_documents_digest_ignores_order_of_metadata() -> None:
    assert documents_digest(with_metadata(x=1, y=2), metadata=True) == documents_digest(
        with_metadata(y=2, x=1), metadata=True
    )
