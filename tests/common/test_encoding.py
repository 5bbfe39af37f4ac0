import pytest

from common.encoding import encoding_of


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_detected_encoding_decodes_text_without_byte_order_mark(codec: str) -> None:
    text = "na\u00efve"
    needs_mark = codec in ("utf-16-le", "utf-16-be")  # Python writes no byte order mark with these codecs
    raw = f"\ufeff{text}".encode(codec) if needs_mark else text.encode(codec)
    assert raw.decode(encoding_of(raw)) == raw.decode(encoding_of(raw[:2])) == text
