import itertools
from collections import Counter
from typing import Any

import pytest

from tools.sample.build import draw_sample
from tools.sample.conversations import draw_conversations


@pytest.fixture(scope="module")
def conversations() -> Any:
    return draw_conversations(40, 10)


@pytest.fixture(scope="module")
def records() -> dict[str, Any]:
    sample = draw_sample()
    return {record.id: record for record in (*sample.train, *sample.test)}


def test_the_same_arguments_draw_the_same_conversations() -> None:
    assert draw_conversations(3, 5, seed=1) == draw_conversations(3, 5, seed=1) != draw_conversations(3, 5, seed=2)
    assert [len(one) for one in draw_conversations(3, 5)] == [5, 5, 5]


def test_each_begins_with_a_whole_question_and_most_that_follows_leaves_something_out(
    conversations: Any, records: dict[str, Any]
) -> None:
    for conversation in conversations:
        first = conversation[0]
        assert first.kind == "question"
        study = records[first.abstract].study
        assert study.drug.lower() in first.text.lower()
        assert study.condition in first.text
    kinds = Counter(message.kind for conversation in conversations for message in conversation[1:])
    assert kinds["question"] < 0.2 * kinds.total()
    assert set(kinds) == {"question", "outcome", "treatment", "group", "population", "study"}


def test_a_follow_up_names_what_is_new_and_not_what_was_said(conversations: Any, records: dict[str, Any]) -> None:
    for conversation in conversations:
        for before, message in itertools.pairwise(conversation):
            study = records[message.abstract].study
            if message.kind == "treatment":
                assert study.drug in message.text
                assert message.abstract != before.abstract
            elif message.kind != "question":
                assert study.drug not in message.text
            if message.kind in ("outcome", "group", "study"):
                assert message.abstract == before.abstract
                assert study.condition not in message.text


@pytest.mark.slow
def test_completed_follow_ups_find_their_abstract_and_raw_ones_do_not(tmp_path: object) -> None:
    from chains.rewriting.followup_rules import complete
    from medground.ingest import data_corpus
    from medground.pipeline import Pipeline
    from medground.settings import load_settings

    settings = load_settings(None, {"store.path": str(tmp_path)})
    retriever = Pipeline.from_settings(settings, data_corpus(settings), quiet=True).retriever("dense")
    meant, said, completed = [], [], []
    for conversation in draw_conversations():
        earlier: list[str] = []
        for message in conversation:
            earlier.append(complete(earlier, message.text).question)
            meant.append(message.abstract)
            said.append(message.text)
        completed += earlier

    def found(questions: list[str]) -> float:
        first = [hits[0].id for hits in retriever.search(questions, 1)]
        return sum(one == wanted for one, wanted in zip(first, meant, strict=True)) / len(meant)

    assert len(meant) == 200
    assert found(completed) >= 0.6
    assert found(said) < 0.6
