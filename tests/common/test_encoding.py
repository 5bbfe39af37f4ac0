import pytest

from common.encoding import encoding_of


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_is_decoded_without_its_mark(codec: str) -> None:
    text = "na\u00efve"
    raw = text.encode(codec) if codec in ("utf-8", "utf-8-sig", "utf-16") else f"\ufeff{text}".encode(codec)
    assert raw.decode(encoding_of(raw)) == text
    assert raw.decode(encoding_of(raw[:2])) in (text, "\ufeff" + text)
