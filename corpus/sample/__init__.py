"""The embedded sample: abstracts, questions and NLI pairs that ``tools/sample`` generated for this project."""

from pathlib import Path

DATA = Path(__file__).with_name("data")


def sample_path(name: str) -> Path:
    """The path of a question file: ``ori_pqal``, ``test_ground_truth``, ``newnames`` or ``newphrases``."""
    return DATA / f"{name}.json"
