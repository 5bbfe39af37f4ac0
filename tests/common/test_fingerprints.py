import numpy as np
from langchain_core.documents import Document

from common.fingerprints import content_key, documents_digest


def test_a_key_is_a_sha256_of_the_content() -> None:
    key = content_key(prompt="Does it?", identity={"model": "m", "dtype": "float32"})
    assert len(key) == 64
    assert set(key) <= set("0123456789abcdef")
    assert key == content_key(identity={"dtype": "float32", "model": "m"}, prompt="Does it?")


def test_every_part_of_the_content_changes_the_key() -> None:
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


def test_numpy_numbers_count_as_numbers() -> None:
    assert content_key(score=np.float64(0.5)) == content_key(score=0.5)


def test_metadata_count_in_a_digest_of_documents_where_that_is_asked_for() -> None:
    plain, dated = (Document(id="a", page_content="b", metadata=metadata) for metadata in ({}, {"year": 2011}))
    assert documents_digest([plain]) == documents_digest([dated])
    assert documents_digest([plain], metadata=True) != documents_digest([dated], metadata=True)
    turned = [Document(id="a", page_content="b", metadata=one) for one in ({"x": 1, "y": 2}, {"y": 2, "x": 1})]
    assert len({documents_digest([one], metadata=True) for one in turned}) == 1
