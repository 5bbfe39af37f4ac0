"""Where a report's figures come from: models, data, settings, versions, dates."""

from collections.abc import Mapping, Sequence

from eval.report.figures import data_name, file_name
from eval.report.tasks import SECTIONS, ReportTask, setting
from eval.report.views import Cell, Row, View


def title(tasks: Sequence[ReportTask]) -> str:
    """What was measured on what, as a heading."""
    words = [SECTIONS[name].lower() for name in SECTIONS if any(task.section == name for task in tasks)]
    data = dict.fromkeys("the sample" if (name := file_name(task)) == "sample" else name for task in tasks)
    together = f"{_listed(words)} on {_listed(list(data))}"
    return together[0].upper() + together[1:]


def facts(tasks: Sequence[ReportTask]) -> list[tuple[str, str]]:
    """What a reader wants to know first, by name."""
    answering = [group for group in _by_run(tasks) if model_name(group)]
    data: dict[str, set[int]] = {}
    for task in tasks:
        data.setdefault(data_name(task), set()).add(len(task.samples))
    counted = [f"{name} (n = {', '.join(f'{n:,}' for n in sorted(counts))})" for name, counts in data.items()]
    days = sorted({str(task.source.get("date") or "")[:10] for task in tasks} - {""})
    told = [
        ("Models", ", ".join(dict.fromkeys(model_name(group) for group in answering))),
        ("Retrievers", ", ".join(dict.fromkeys(task.title for task in tasks if task.section == "retrieval"))),
        ("Data", "; ".join(counted)),
        ("Measured", " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))),
        ("Runs", ", ".join(dict.fromkeys(task.run for task in tasks))),
    ]
    return [(name, fact) for name, fact in told if fact]


def run_table(tasks: Sequence[ReportTask]) -> View:
    """What was measured with which settings, and when; a run that was added to has a row for each time."""
    rows = [
        Row(
            group[0].run,
            cells={
                "model": Cell(model_name(group) or "none"),
                "settings": Cell(_options(group)),
                "data": Cell("; ".join(dict.fromkeys(data_name(task) for task in group))),
                "tasks": Cell(", ".join(task.task for task in group)),
                "measured": Cell(str(group[0].source.get("date") or "unknown").replace("+00:00", " UTC")),
            },
        )
        for group in _by_run(tasks)
    ]
    return View("Runs", "run", ("model", "settings", "data", "tasks", "measured"), tuple(rows))


def versions(tasks: Sequence[ReportTask]) -> list[tuple[str, str]]:
    """By package its version; where runs differ, each of them."""
    found: dict[str, dict[str, None]] = {}
    for task in tasks:
        told = task.source.get("versions")
        for name, number in told.items() if isinstance(told, Mapping) else ():
            found.setdefault(str(name), {})[str(number)] = None
    return [(name, " and ".join(numbers)) for name, numbers in found.items()]


def model_name(tasks: Sequence[ReportTask]) -> str:
    """What answered or judged in tasks of one run; empty where passages were only ranked."""
    config = tasks[0].config
    sections = {task.section for task in tasks}
    if sections == {"retrieval"}:
        return ""
    if sections == {"nli"} and setting(config, "nli", "kind") == "encoder":
        return str(setting(config, "nli", "model"))
    model = str(setting(config, "llm", "model") or "unknown")
    adapter = setting(config, "nli", "adapter") if sections == {"nli"} else None
    adapter = adapter or setting(config, "llm", "adapter")
    return ("medground-tiny" if model == "embedded" else model) + (f" with {adapter}" if adapter else "")


def _by_run(tasks: Sequence[ReportTask]) -> list[list[ReportTask]]:
    """The tasks that were measured together."""
    groups: dict[str, list[ReportTask]] = {}
    for task in tasks:
        groups.setdefault(str((task.run, task.source.get("date"), task.config)), []).append(task)
    return list(groups.values())


def _options(tasks: Sequence[ReportTask]) -> str:
    """The settings that most often differ between runs."""
    config = tasks[0].config
    if all(task.section == "retrieval" for task in tasks):
        names = [task.task.removeprefix("retrieval_") for task in tasks]
        return "; ".join(f"{name}: {_entry(setting(config, 'retrievers', name))}" for name in names)
    wanted = [("llm", "dtype"), ("llm", "quantization"), ("chain", "decide")]
    if any(task.section in ("qa", "verified") for task in tasks):
        wanted.append(("chain", "passages"))
    if any(task.section == "nli" for task in tasks):
        wanted.append(("prompt", "shots"))
    told = {name: setting(config, section, name) for section, name in wanted}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)


def _entry(entry: object) -> str:
    return ", ".join(f"{key} {value}" for key, value in entry.items()) if isinstance(entry, Mapping) else "unknown"


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
