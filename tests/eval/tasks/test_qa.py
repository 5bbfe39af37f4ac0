from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ValidationError

from chains.answer import Answer, Passage
from common.errors import UserError
from corpus.records import Label, QARecord
from eval.tables import result_tables
from eval.tasks import QATask, task_from_name
from eval.tasks.qa import CHUNK, wrong_contexts
from medground.settings import load_settings
from medground.tasks import qa_tasks

IDENTITY = {"model": "marker", "dtype": "float32"}


class MarkerChain(Runnable[dict[str, str], Answer]):
    """Answers with the word after "ANSWER" in the context; without context, the answer has no label.

    A context with "TOO LONG" or "BROKEN" gives an error. ``fields`` are the fields that answers have.
    """

    def __init__(self, fields: Sequence[str] = ("text", "label", "prompt", "label_scores", "passages")) -> None:
        self.calls: list[list[dict[str, str]]] = []
        self.fields = fields

    def invoke(self, input: dict[str, str], config: RunnableConfig | None = None, **kwargs: Any) -> Answer:
        return self.batch([input])[0]

    def batch(
        self, inputs: list[dict[str, str]], *args: Any, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Answer]:
        self.calls.append(inputs)
        answers: list[Any] = [self._answer(each) for each in inputs]
        failures = [answer for answer in answers if isinstance(answer, Exception)]
        if failures and not return_exceptions:
            raise failures[0]
        return answers

    def _answer(self, chain_input: dict[str, str]) -> Answer | Exception:
        text = chain_input.get("context", "")
        if "TOO LONG" in text:
            return UserError("The question is too long.")
        if "BROKEN" in text:
            return RuntimeError("unexpected")
        word = text.partition("ANSWER ")[2].split(" ")[0]
        label = word if word in ("yes", "no", "maybe") else None
        passages = [Passage(id=chain_input["passage_id"], text=text)] if text else []
        values = {
            "text": label or "cannot tell",
            "label": label,
            "prompt": f"{text}\n{chain_input['question']}",
            "label_scores": {label: 1.0} if label else {},
            "passages": tuple(passages),
        }
        return Answer(question=chain_input["question"], **{name: values[name] for name in self.fields})  # type: ignore[arg-type]


def _record(number: int, label: Label | None, word: str | None = None) -> QARecord:
    """A record that ``MarkerChain`` answers with ``word``, by default with its label."""
    text = f"Study {number}. ANSWER {word or label} it was."
    return QARecord(id=f"r{number}", question=f"Does {number} help?", contexts=(text,), label=label)


RECORDS = [
    _record(1, "yes"),
    _record(2, "no"),
    _record(3, "maybe"),
    _record(4, "maybe", "unclear"),  # answered without a label
    _record(5, "no", "yes"),  # answered wrongly
]


def test_context_gold_gives_the_chain_the_abstract_of_the_record() -> None:
    chain = MarkerChain()
    result = task_from_name("qa_gold").evaluate(chain, RECORDS, identity=IDENTITY, quiet=True)
    assert chain.calls == [
        [{"question": record.question, "context": record.context, "passage_id": record.id} for record in RECORDS]
    ]
    assert [sample["prediction"] for sample in result.samples] == ["yes", "no", "maybe", None, "yes"]
    assert [sample["target"] for sample in result.samples] == ["yes", "no", "maybe", "maybe", "no"]
    assert result.metrics["accuracy"] == pytest.approx(3 / 5)
    assert result.metrics["unparsed"] == 1
    assert result.metrics["precision_maybe"] == 1
    assert result.metrics["recall_maybe"] == 0.5
    assert result.name == "qa_gold"


@pytest.mark.parametrize("task", ["qa_none", "qa_retrieved_dense"])
def test_contexts_none_and_retrieved_give_the_chain_only_the_question(task: str) -> None:
    chain = MarkerChain()
    result = task_from_name(task).evaluate(chain, RECORDS, identity=IDENTITY, quiet=True)
    assert chain.calls == [[{"question": record.question} for record in RECORDS]]
    assert result.metrics["accuracy"] == 0
    assert result.metrics["unparsed"] == 5
    assert result.metrics["recall_maybe"] == result.metrics["precision_maybe"] == 0


class ScriptedChain(MarkerChain):
    """Answers each question with the label and the ids of passages in ``outcomes``; the passages have one ``text``."""

    def __init__(self, outcomes: dict[str, tuple[Label | None, list[str]]], text: str = "A study.") -> None:
        super().__init__()
        self.outcomes = outcomes
        self.text = text

    def _answer(self, chain_input: dict[str, str]) -> Answer:
        label, ids = self.outcomes[chain_input["question"]]
        passages = tuple(Passage(id=id, text=self.text) for id in ids)
        return Answer(question=chain_input["question"], text=label or "", label=label, passages=passages)


def test_answers_are_counted_by_correctness_and_by_whether_their_own_abstract_was_read() -> None:
    outcomes: dict[str, tuple[Label | None, list[str]]] = {
        RECORDS[0].question: ("yes", ["r9", "r1"]),
        RECORDS[1].question: ("no", ["r1"]),
        RECORDS[2].question: ("yes", ["r3"]),
        RECORDS[3].question: (None, []),
        RECORDS[4].question: ("no", ["r5"]),
    }
    task = task_from_name("qa_retrieved_dense")
    result = task.evaluate(ScriptedChain(outcomes), RECORDS, identity=IDENTITY, quiet=True)
    shares = {name: result.metrics[name] for name in ("read_right", "read_wrong", "unread_right", "unread_wrong")}
    assert shares == pytest.approx({"read_right": 0.4, "read_wrong": 0.2, "unread_right": 0.2, "unread_wrong": 0.2})
    assert result.estimates["read_right"].low is not None
    (_, table) = result_tables([result])
    assert [list(column.cells) for column in table.columns][2:] == [["0.400"], ["0.200"], ["0.200"], ["0.200"]]
    assert "read_right" not in task_from_name("qa_gold").evaluate(MarkerChain(), RECORDS, identity=IDENTITY).metrics


def test_a_copy_of_the_own_abstract_counts_as_read() -> None:
    record = replace(RECORDS[0], id="copy")
    chain = ScriptedChain({record.question: ("yes", ["r9", "r1"])}, text=record.context)
    (sample,) = (result := task_from_name("qa_retrieved_dense").evaluate(chain, [record], identity={})).samples
    assert result.metrics["read_right"] == 1
    assert [hit["id"] for hit in sample["retrieved"]] == ["copy", "r1"]


def test_context_wrong_gives_another_abstract_and_counts_maybe() -> None:
    records = [_record(number, None, "maybe" if number % 2 else "no") for number in range(1, 11)]
    chain = MarkerChain()
    result = task_from_name("qa_wrong").evaluate(chain, records, identity=IDENTITY, quiet=True)
    assert set(result.metrics) == {"share_maybe", "unparsed"}
    assert result.metrics["share_maybe"] == 0.5
    assert {sample["target"] for sample in result.samples} == {"maybe"}
    for record, chain_input, sample in zip(records, chain.calls[0], result.samples, strict=True):
        assert chain_input["question"] == record.question
        assert chain_input["context"] != record.context
        assert sample["retrieved"][0]["id"] != record.id == sample["id"]


def test_records_are_answered_in_chunks_and_samples_keep_their_order() -> None:
    records = [_record(number, "yes") for number in range(2 * CHUNK + 3)]
    chain = MarkerChain()
    result = task_from_name("qa_gold").evaluate(chain, records, identity=IDENTITY, quiet=True)
    assert [len(call) for call in chain.calls] == [CHUNK, CHUNK, 3]
    assert [sample["id"] for sample in result.samples] == [record.id for record in records]
    assert result.metrics["accuracy"] == 1


def test_samples_hold_the_fields_of_record_and_answer() -> None:
    result = task_from_name("qa_gold").evaluate(MarkerChain(), RECORDS[:1], identity=IDENTITY, quiet=True)
    sample = dict(result.samples[0])
    assert len(sample.pop("key")) == 64
    assert sample == {
        "id": "r1",
        "question": "Does 1 help?",
        "prompt": "Study 1. ANSWER yes it was.\nDoes 1 help?",
        "output": None,
        "label_scores": {"yes": 1.0},
        "prediction": "yes",
        "target": "yes",
        "retrieved": [{"id": "r1", "score": None}],
        "notes": (),
    }


def test_keys_depend_on_prompt_or_passages_and_on_identity() -> None:
    def keys(task: str, chain: MarkerChain, **identity: str) -> list[str]:
        result = task_from_name(task).evaluate(chain, RECORDS, identity=identity, quiet=True)
        return [sample["key"] for sample in result.samples]

    first = keys("qa_gold", MarkerChain(), model="m")
    assert len(set(first)) == len(RECORDS)
    assert first == keys("qa_gold_newnames", MarkerChain(), model="m")
    assert set(first).isdisjoint(keys("qa_gold", MarkerChain(), model="n"))
    assert set(first).isdisjoint(keys("qa_none", MarkerChain(), model="m"))
    no_prompts = MarkerChain(("text", "label", "passages"))
    assert len(set(keys("qa_gold", no_prompts, model="m"))) == len(RECORDS)
    assert set(keys("qa_gold", no_prompts, model="m")).isdisjoint(keys("qa_none", no_prompts, model="m"))


@pytest.mark.parametrize("fields", [("text", "label", "prompt", "passages"), ("text", "label", "passages")])
def test_samples_agree_only_with_the_texts_that_were_read(fields: tuple[str, ...]) -> None:
    result = task_from_name("qa_gold").evaluate(MarkerChain(fields), RECORDS, identity=IDENTITY, quiet=True)
    texts = {record.id: record.context for record in RECORDS}
    assert result.task.agrees_with(result.samples, texts, IDENTITY)
    changed = texts | {"r2": "changed"}
    assert not result.task.agrees_with(result.samples, changed, IDENTITY)
    samples = [{**sample, "notes": ["context shortened"]} for sample in result.samples]
    assert result.task.agrees_with(samples, changed, IDENTITY)  # a shortened prompt does not show the whole text


@pytest.mark.parametrize(
    ("task", "records", "message"),
    [
        ("qa_gold", [], "no records"),
        ("qa_gold", [*RECORDS, _record(9, None)], r"1 of 6 records have no label .*r9"),
        ("qa_wrong", RECORDS[:1], "Use more records"),
    ],
)
def test_unsuitable_records_are_refused_before_the_chain_runs(task: str, records: list[QARecord], message: str) -> None:
    chain = MarkerChain()
    with pytest.raises(UserError, match=message):
        task_from_name(task).evaluate(chain, records, identity=IDENTITY, quiet=True)
    assert chain.calls == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Field required"),
        ({"context": "golden"}, "'none', 'gold', 'retrieved' or 'wrong'"),
        ({"context": "retrieved"}, "the context retrieved needs a retriever"),
        ({"context": "gold", "retriever": "dense"}, "the context gold takes no retriever"),
        ({"context": "gold", "shots": 1}, "Extra inputs"),
    ],
)
def test_invalid_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QATask(**fields)


@pytest.mark.parametrize("n", [2, 3, 10, 101])
def test_wrong_contexts_give_each_record_another_record(n: int) -> None:
    records = [_record(number, "yes") for number in range(n)]
    sources = wrong_contexts(records)
    assert {record.id for record in sources} == {record.id for record in records}
    assert all(source.id != record.id for record, source in zip(records, sources, strict=True))
    assert sources == wrong_contexts(records)
    if n > 10:
        distances = {records.index(source) - index for index, source in enumerate(sources)}
        assert len(distances) > n // 4  # the records are shuffled, not only shifted


# The numbers of records that share an abstract. In every case, half of all records share the same one.
@pytest.mark.parametrize("sizes", [(2, 2), (3, 2, 1), (5, 1, 1, 1, 1, 1), (1, 1, 4, 1, 1)])
def test_wrong_contexts_differ_from_the_abstract_of_the_record(sizes: tuple[int, ...]) -> None:
    records = [
        QARecord(id=f"{group}-{number}", question="Does it?", contexts=(f"Text {group}",), label="yes")
        for group, size in enumerate(sizes)
        for number in range(size)
    ]
    sources = wrong_contexts(records)
    assert sorted(record.id for record in sources) == sorted(record.id for record in records)
    assert all(source.context != record.context for record, source in zip(records, sources, strict=True))


def test_wrong_contexts_refuse_an_abstract_of_most_records() -> None:
    same = QARecord(id="a", question="q", contexts=("t",), label="yes")
    with pytest.raises(UserError, match="of 3 records 2 have the same abstract"):
        wrong_contexts([same, same, _record(1, "yes")])


def test_tasks_with_another_abstract_are_left_out_if_most_records_share_one(caplog: pytest.LogCaptureFixture) -> None:
    settings = load_settings(None, {"data": {"path": "own.json"}, "chain": {"verify": "report"}})
    same = QARecord(id="a", question="q", contexts=("t",), label="yes")
    contexts = [task.context for task in qa_tasks(settings, [same, same, _record(1, "yes")])]
    assert contexts == ["none", "retrieved", "gold", "retrieved", "gold"]
    assert "verified_wrong, verified_swapped: left out" in caplog.text
    contexts = [task.context for task in qa_tasks(settings, [same, _record(1, "yes")])]
    assert contexts[-2:] == ["wrong", "swapped"]


def test_progress_bar_is_shown_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    task_from_name("qa_gold").evaluate(MarkerChain(), RECORDS, identity=IDENTITY)
    captured = capsys.readouterr()
    assert (captured.out, "qa_gold" in captured.err) == ("", True)


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("TOO LONG", UserError, r"qa_gold, record r130: The question is too long"),
        ("BROKEN", RuntimeError, "unexpected"),
    ],
)
def test_user_errors_name_the_record_and_other_errors_are_raised(
    word: str, kind: type[Exception], message: str
) -> None:
    records = [_record(number, "yes", word if number == CHUNK + 2 else None) for number in range(CHUNK + 5)]
    with pytest.raises(kind, match=message):
        task_from_name("qa_gold").evaluate(MarkerChain(), records, identity=IDENTITY, quiet=True)
