import pytest

from eval.progress import chunks_with_progress


def test_chunks_hold_all_items_in_order() -> None:
    assert list(chunks_with_progress([1, 2, 3, 4, 5], 2, "title", quiet=True)) == [[1, 2], [3, 4], [5]]
    assert list(chunks_with_progress([], 2, "title", quiet=True)) == []


def test_bar_is_on_stderr_and_absent_if_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    list(chunks_with_progress([1, 2, 3], 2, "qa_gold", quiet=True))
    assert capsys.readouterr() == ("", "")
    list(chunks_with_progress([1, 2, 3], 2, "qa_gold", quiet=False))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "qa_gold" in captured.err
    assert "3/3" in captured.err
