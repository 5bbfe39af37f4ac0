"""notebooks/: they are clean as committed, and run to the end on the embedded default."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUARD = Path(__file__).with_name("guard")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["encoder", "nli_tuning", "pubmedqa_rag"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_clean(path: Path) -> None:
    import nbformat

    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    for cell in book.cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)
        assert cell.metadata == {}
    assert not re.search(r"(?<![\w.>])/(home|root|work|tmp|Users|mnt)\b", path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_file_it_names_is_there(path: Path) -> None:
    named = re.findall(r"(?:configs|docs)/[\w./-]+\.(?:yaml|md)", path.read_text())
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_to_the_end(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a guarded kernel of this Python, in an empty folder; it shows figures with intervals and a confusion table."""
    import nbformat
    from nbclient import NotebookClient

    log, work = tmp_path / "guard.log", tmp_path / "work"
    work.mkdir()
    kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    spec = tmp_path / "jupyter" / "kernels" / "here" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({**kernel, "display_name": "this Python"}))
    for name, value in {
        "JUPYTER_PATH": str(tmp_path / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MEDGROUND_GUARD_LOG": str(log),
    }.items():
        monkeypatch.setenv(name, value)
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(work)}}
    NotebookClient(book, kernel_name="here", timeout=900, resources=where).execute()
    assert not log.exists(), log.read_text()
    assert list(work.iterdir()) == []
    shown = "\n".join(
        str(output.data.get("text/plain", ""))
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result")
    )
    assert re.search(r"accuracy \(95%\)", shown)
    assert re.search(r"\d\.\d{3} \(\d\.\d{3}-\d\.\d{3}\)", shown)
    assert "Confusion" in shown
