import pytest

from eval.progress import chunks_with_progress


def test_chunks_hold_everything_once_in_order() -> None:
    assert list(chunks_with_progress([1, 2, 3, 4, 5], 2, "t", quiet=True)) == [[1, 2], [3, 4], [5]]
    assert list(chunks_with_progress([], 2, "t", quiet=True)) == []


def test_the_bar_goes_to_stderr_and_quiet_means_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    list(chunks_with_progress([1, 2, 3], 2, "qa_gold", quiet=True))
    assert capsys.readouterr() == ("", "")
    list(chunks_with_progress([1, 2, 3], 2, "qa_gold", quiet=False))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "qa_gold" in captured.err
    assert "3/3" in captured.err
