"""Notes shown with results of medground-tiny, the packaged model, which reads the sample only."""

from pathlib import Path

TINY_NOTE = (
    "medground-tiny answered. It reads the sample's language, not real medicine: its answers on other texts mean "
    "nothing. Set llm.model to a real model."
)
TINY_JUDGE_NOTE = (
    "medground-tiny gave the verdicts. It reads the sample's language, not real medicine: its verdicts on other texts "
    "mean nothing. Set nli.model or llm.model to a real model."
)
TINY_WARNING = (
    "medground-tiny reads the sample's language, not real medicine: what it writes about your documents means nothing. "
    "Set llm.model to a real model."
)
QUOTE_NOTE = (
    "medground-tiny reads the sample only, so your documents are quoted. Set llm.model to a real model for answers."
)


def is_tiny(model: str) -> bool:
    """Whether ``llm.model`` is medground-tiny, or was merged from it."""
    report = Path(model).expanduser() / "merge.json"
    if model == "embedded" or not report.is_file():
        return model == "embedded"
    from chains.models.local import EMBEDDED
    from common.json_file import read_object

    base = str(read_object(report).get("base"))
    return base == "embedded" or Path(base).parts[-2:] == EMBEDDED.parts[-2:]
