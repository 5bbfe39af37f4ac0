from pathlib import Path

import pytest

from common.errors import DataError
from common.json_file import escape, read_object, read_text

INVALID_FILES = {
    "not JSON": (b'{"1": {\n  "QUESTION" "x"}}', "line 2, column 14"),
    "cut short": (b'{"1": {"QUESTION": "x"', "line 1"),
    "single quotes": (b"{'1': {}}", "line 1, column 2"),
    "trailing text": (b"{} {}", "Extra data"),
    "latin-1": ('{"1": "caf\u00e9"}'.encode("latin-1"), "byte 0xe9 at offset 10"),
    "windows-1252": (b'"caf\xe9"', "convert it: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"),
    "cut utf-16": ('{"1": {}}'.encode("utf-16")[:-1], "not UTF-8"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "empty": (b"", "is empty"),
    "blank": (b" \n\t\n", "is empty"),
    "a list": (b"[1, 2]", "a list"),
    "a text": (b'"yes"', "a text"),
    "null": (b"null", "null"),
    "a number": (b"3", "a number"),
    "duplicate id": (b'{"7": 1, "8": 2, "7": 3}', "record 7"),
    "deep nesting": (b'{"1": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
    "too many digits": (b'{"1": ' + b"9" * 5_000 + b"}", "is not JSON that can be read"),
    "control character": (b'{"1": "a\x01b"}', "line 1, column 9"),
}


@pytest.mark.parametrize(("raw", "message"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_error_names_file_and_position(tmp_path: Path, raw: bytes, message: str) -> None:
    path = tmp_path / "records.json"
    path.write_bytes(raw)
    with pytest.raises(DataError) as error:
        read_object(path)
    assert str(error.value).startswith(str(path))
    assert message in str(error.value)


def test_missing_file_folder_and_device_have_different_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_object(tmp_path / "none.json")
    with pytest.raises(DataError, match="is a folder"):
        read_object(tmp_path)
    with pytest.raises(DataError, match="is a device"):
        read_object(Path("/dev/zero"))


def test_utf8_and_utf16_with_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    path.write_bytes(b'\xef\xbb\xbf{"1": "\xc3\xa9"}')
    assert read_object(path) == {"1": "\u00e9"}
    path.write_bytes('{"1": "\u00e9"}'.encode("utf-16"))
    assert read_object(path) == {"1": "\u00e9"}


def test_nul_in_path_is_data_error() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_text(Path("a\0b"))


def test_escape_replaces_control_characters_and_shortens_long_texts() -> None:
    assert escape("a\x1b[31mb\n") == "a\\x1b[31mb\\n"
    assert len(escape("x" * 500)) == 60
