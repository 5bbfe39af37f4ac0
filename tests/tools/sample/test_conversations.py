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


def test_the_seed_determines_the_conversations() -> None:
    assert draw_conversations(3, 5, seed=1) == draw_conversations(3, 5, seed=1) != draw_conversations(3, 5, seed=2)
    assert [len(conversation) for conversation in draw_conversations(3, 5)] == [5, 5, 5]


def test_conversations_begin_with_a_full_question_followed_mostly_by_follow_ups(
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


def test_follow_ups_name_a_new_treatment_but_not_the_current_one(conversations: Any, records: dict[str, Any]) -> None:
    for conversation in conversations:
        for previous, message in itertools.pairwise(conversation):
            study = records[message.abstract].study
            if message.kind == "treatment":
                assert study.drug in message.text
                assert message.abstract != previous.abstract
            elif message.kind != "question":
                assert study.drug not in message.text
            if message.kind in ("outcome", "group", "study"):
                assert message.abstract == previous.abstract
                assert study.condition not in message.text


@pytest.mark.slow
def test_completed_follow_ups_retrieve_their_abstract_more_often(tmp_path: object) -> None:
    from chains.rewriting.followup_rules import complete
    from medground.ingest import data_corpus
    from medground.pipeline import Pipeline
    from medground.settings import load_settings

    settings = load_settings(None, {"store.path": str(tmp_path)})
    retriever = Pipeline.from_settings(settings, data_corpus(settings), quiet=True).retriever("dense")
    conversations = draw_conversations()
    abstracts = [message.abstract for conversation in conversations for message in conversation]
    original = [message.text for conversation in conversations for message in conversation]
    completed: list[str] = []
    for conversation in conversations:
        earlier: list[str] = []
        for message in conversation:
            earlier.append(complete(earlier, message.text).question)
        completed += earlier

    def accuracy_at_1(questions: list[str]) -> float:
        first_hits = [hits[0].id for hits in retriever.search(questions, 1)]
        return sum(hit == abstract for hit, abstract in zip(first_hits, abstracts, strict=True)) / len(abstracts)

    assert len(abstracts) == 200
    assert accuracy_at_1(completed) >= 0.6 > accuracy_at_1(original)
