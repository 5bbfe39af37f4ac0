from collections.abc import Sequence
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

IDENTITY = {"model": "marker", "dtype": "float32"}


class MarkerChain(Runnable[dict[str, str], Answer]):
    """Reads the answer that stands after "ANSWER" in the text; without a text it names no label."""

    def __init__(self, fields: Sequence[str] = ("text", "label", "prompt", "label_scores", "passages")) -> None:
        self.calls: list[list[dict[str, str]]] = []
        self.fields = fields

    def invoke(self, input: dict[str, str], config: RunnableConfig | None = None, **kwargs: Any) -> Answer:
        return self.batch([input])[0]

    def batch(
        self, inputs: list[dict[str, str]], *args: Any, return_exceptions: bool = False, **kwargs: Any
    ) -> list[Answer]:
        self.calls.append(inputs)
        answers: list[Any] = [self._answer(given) for given in inputs]
        failures = [answer for answer in answers if isinstance(answer, Exception)]
        if failures and not return_exceptions:
            raise failures[0]
        return answers

    def _answer(self, given: dict[str, str]) -> Answer | Exception:
        text = given.get("context", "")
        if "TOO LONG" in text:
            return UserError("The question is too long.")
        if "BROKEN" in text:
            return RuntimeError("out of order")
        word = text.partition("ANSWER ")[2].split(" ")[0]
        label = word if word in ("yes", "no", "maybe") else None
        passages = [Passage(id=given["passage_id"], text=text)] if text else []
        values = {
            "text": label or "cannot tell",
            "label": label,
            "prompt": f"{text}\n{given['question']}",
            "label_scores": {label: 1.0} if label else {},
            "passages": tuple(passages),
        }
        return Answer(question=given["question"], **{name: values[name] for name in self.fields})  # type: ignore[arg-type]


def _record(number: int, label: Label | None, word: str | None = None) -> QARecord:
    text = f"Study {number}. ANSWER {word or label} it was."
    return QARecord(id=f"r{number}", question=f"Does {number} help?", contexts=(text,), label=label)


RECORDS = [
    _record(1, "yes"),
    _record(2, "no"),
    _record(3, "maybe"),
    _record(4, "maybe", "unclear"),
    _record(5, "no", "yes"),
]


def test_gold_hands_over_the_records_own_abstract() -> None:
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
def test_no_other_task_hands_over_the_gold_abstract(task: str) -> None:
    chain = MarkerChain()
    result = task_from_name(task).evaluate(chain, RECORDS, identity=IDENTITY, quiet=True)
    assert chain.calls == [[{"question": record.question} for record in RECORDS]]
    assert result.metrics["accuracy"] == 0
    assert result.metrics["unparsed"] == 5
    assert result.metrics["recall_maybe"] == result.metrics["precision_maybe"] == 0


class SearchingChain(MarkerChain):
    """Answers each question with the label and the passages that are given for it."""

    def __init__(self, found: dict[str, tuple[Label | None, list[str]]]) -> None:
        super().__init__()
        self.found = found

    def _answer(self, given: dict[str, str]) -> Answer:
        label, ids = self.found[given["question"]]
        passages = tuple(Passage(id=id, text="A study.") for id in ids)
        return Answer(question=given["question"], text=label or "", label=label, passages=passages)


def test_right_answers_are_told_apart_by_whether_their_own_abstract_was_read() -> None:
    found: dict[str, tuple[Label | None, list[str]]] = {
        RECORDS[0].question: ("yes", ["r9", "r1"]),
        RECORDS[1].question: ("no", ["r1"]),
        RECORDS[2].question: ("yes", ["r3"]),
        RECORDS[3].question: (None, []),
        RECORDS[4].question: ("no", ["r5"]),
    }
    task = task_from_name("qa_retrieved_dense")
    result = task.evaluate(SearchingChain(found), RECORDS, identity=IDENTITY, quiet=True)
    shares = {name: result.metrics[name] for name in ("read_right", "read_wrong", "unread_right", "unread_wrong")}
    assert shares == pytest.approx({"read_right": 0.4, "read_wrong": 0.2, "unread_right": 0.2, "unread_wrong": 0.2})
    assert result.estimates["read_right"].low is not None
    (_, table) = result_tables([result])
    assert [list(column.cells) for column in table.columns][2:] == [["0.400"], ["0.200"], ["0.200"], ["0.200"]]
    assert "read_right" not in task_from_name("qa_gold").evaluate(MarkerChain(), RECORDS, identity=IDENTITY).metrics


@pytest.mark.parametrize("task", ["qa_gold_newnames", "qa_gold_newphrases"])
def test_variants_of_the_sample_are_gold_tasks(task: str) -> None:
    assert (
        task_from_name(task).evaluate(MarkerChain(), RECORDS, identity=IDENTITY, quiet=True).metrics["accuracy"] == 0.6
    )


def test_wrong_counts_maybe_and_needs_no_labels() -> None:
    records = [_record(number, None, "maybe" if number % 2 else "no") for number in range(1, 11)]
    chain = MarkerChain()
    result = task_from_name("qa_wrong").evaluate(chain, records, identity=IDENTITY, quiet=True)
    assert set(result.metrics) == {"share_maybe", "unparsed"}
    assert result.metrics["share_maybe"] == 0.5
    assert {sample["target"] for sample in result.samples} == {"maybe"}
    given = {record.question: asked for record, asked in zip(records, chain.calls[0], strict=True)}
    for record, sample in zip(records, result.samples, strict=True):
        assert given[record.question]["question"] == record.question
        assert given[record.question]["context"] != record.context
        assert sample["retrieved"][0]["id"] != record.id == sample["id"]


def test_records_go_to_the_chain_in_chunks_and_come_back_in_order() -> None:
    records = [_record(number, "yes") for number in range(2 * CHUNK + 3)]
    chain = MarkerChain()
    result = task_from_name("qa_gold").evaluate(chain, records, identity=IDENTITY, quiet=True)
    assert [len(call) for call in chain.calls] == [CHUNK, CHUNK, 3]
    assert [sample["id"] for sample in result.samples] == [record.id for record in records]
    assert result.metrics["accuracy"] == 1


def test_samples_carry_what_the_answer_carries() -> None:
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


def test_keys_follow_prompt_and_identity() -> None:
    def keys(task: str, chain: MarkerChain, **identity: str) -> list[str]:
        result = task_from_name(task).evaluate(chain, RECORDS, identity=identity, quiet=True)
        return [sample["key"] for sample in result.samples]

    first = keys("qa_gold", MarkerChain(), model="m")
    assert len(set(first)) == len(RECORDS)
    assert first == keys("qa_gold_newnames", MarkerChain(), model="m")
    assert set(first).isdisjoint(keys("qa_gold", MarkerChain(), model="n"))
    assert set(first).isdisjoint(keys("qa_none", MarkerChain(), model="m"))
    promptless = MarkerChain(("text", "label", "passages"))
    assert len(set(keys("qa_gold", promptless, model="m"))) == len(RECORDS)
    assert set(keys("qa_gold", promptless, model="m")).isdisjoint(keys("qa_none", promptless, model="m"))


@pytest.mark.parametrize(
    ("task", "records", "message"),
    [
        ("qa_gold", [], "no records"),
        ("qa_gold", [*RECORDS, _record(9, None)], r"1 of 6 records have no label .*r9"),
        ("qa_wrong", RECORDS[:1], "Use more records"),
        ("qa_retrieved_a/b", RECORDS, "file name"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_chain_runs(
    task: str, records: list[QARecord], message: str
) -> None:
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
def test_fields_that_make_no_task_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QATask(**fields)


@pytest.mark.parametrize("n", [2, 3, 10, 101])
def test_wrong_contexts_are_a_derangement(n: int) -> None:
    records = [_record(number, "yes") for number in range(n)]
    given = wrong_contexts(records)
    assert {record.id for record in given} == {record.id for record in records}
    assert all(other.id != record.id for record, other in zip(records, given, strict=True))
    assert given == wrong_contexts(records)
    if n > 10:
        assert len({records.index(other) - place for place, other in enumerate(given)}) > n // 4  # mixed, not shifted


@pytest.mark.parametrize("sizes", [(2, 2), (3, 2, 1), (5, 1, 1, 1, 1, 1), (1, 1, 4, 1, 1)])
def test_records_that_share_an_abstract_do_not_get_it_from_each_other(sizes: tuple[int, ...]) -> None:
    records = [
        QARecord(id=f"{group}-{number}", question="Does it?", contexts=(f"Text {group}",), label="yes")
        for group, size in enumerate(sizes)
        for number in range(size)
    ]
    given = wrong_contexts(records)
    assert sorted(record.id for record in given) == sorted(record.id for record in records)
    assert all(other.context != record.context for record, other in zip(records, given, strict=True))


def test_an_impossible_derangement_is_refused() -> None:
    same = QARecord(id="a", question="q", contexts=("t",), label="yes")
    with pytest.raises(UserError, match="of 3 records 2 have the same abstract"):
        wrong_contexts([same, same, _record(1, "yes")])


def test_the_bar_is_shown_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    task_from_name("qa_gold").evaluate(MarkerChain(), RECORDS, identity=IDENTITY)
    captured = capsys.readouterr()
    assert (captured.out, "qa_gold" in captured.err) == ("", True)


@pytest.mark.parametrize(
    ("word", "kind", "message"),
    [
        ("TOO LONG", UserError, r"qa_gold, record r130: The question is too long"),
        ("BROKEN", RuntimeError, "out of order"),
    ],
)
def test_a_record_that_cannot_be_answered_is_named(word: str, kind: type[Exception], message: str) -> None:
    records = [_record(number, "yes", word if number == CHUNK + 2 else None) for number in range(CHUNK + 5)]
    with pytest.raises(kind, match=message):
        task_from_name("qa_gold").evaluate(MarkerChain(), records, identity=IDENTITY, quiet=True)
