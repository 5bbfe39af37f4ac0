"""notebooks/: committed without outputs, no dead references, and executable with medground-tiny."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GUARD = Path(__file__).with_name("guard")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_notebooks_are_the_three_expected() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["encoder", "nli_tuning", "pubmedqa_rag"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_no_outputs_and_no_local_paths(path: Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.cell_type == "markdown" or (cell.outputs == [] and cell.execution_count is None)
        assert cell.metadata == {}
    # An absolute path such as /home/...; not such a folder inside a relative path or after a closing tag.
    assert not re.search(r"(?<![\w.>])/(home|root|work|tmp|Users|mnt)\b", path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_files_named_in_notebook_exist(path: Path) -> None:
    references = re.findall(r"(?:configs|docs)/[\w./-]+\.(?:yaml|md)", path.read_text())
    assert references
    assert [name for name in references if not (ROOT / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_shows_accuracy_and_confusion_table(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Executed by a kernel of this Python behind the network guard; the working folder stays empty."""
    import nbformat
    from nbclient import NotebookClient

    log, work = tmp_path / "guard.log", tmp_path / "work"
    work.mkdir()
    kernel = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "language": "python"}
    kernel_file = tmp_path / "jupyter" / "kernels" / "guarded" / "kernel.json"
    kernel_file.parent.mkdir(parents=True)
    kernel_file.write_text(json.dumps({**kernel, "display_name": "guarded Python"}))
    for name, value in {
        "JUPYTER_PATH": str(tmp_path / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(GUARD), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MEDGROUND_GUARD_LOG": str(log),
    }.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(work)}}  # the kernel's working folder
    NotebookClient(notebook, kernel_name="guarded", timeout=900, resources=resources).execute()
    assert not log.exists(), log.read_text()
    assert list(work.iterdir()) == []
    output_text = "\n".join(
        str(output.data.get("text/plain", ""))
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result")
    )
    assert "accuracy (95%)" in output_text
    assert re.search(r"\d\.\d{3} \(\d\.\d{3}-\d\.\d{3}\)", output_text)  # a figure with its interval
    assert "Confusion" in output_text
