import numpy as np

from corpus.keys import content_key


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
