from typing import Any

import pytest
from injections import abstract_with, injections
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField, RunnableConfig
from obeying import ObeyingLLM
from outer_graph import checkpointed_graph, checkpointed_text
from word_nli import WordNLI
from word_retriever import WordRetriever

from chains.agent.grading import Grader, by_judge
from chains.agent.graph import GraphAgent
from chains.agent.steps import Run, Step
from chains.config import AgentConfig
from chains.qa.base import AnswerChain
from chains.qa.chain import qa_chain
from chains.verification.answers import Verifier
from common.errors import UserError

# WordNLI looks in a passage for the last word of the question: "aspirin works" is entailment, and "aspirin fails" is
# contradiction. ObeyingLLM answers "yes" if "works" is in the prompt, else "maybe".
QUESTION = "Is it so of aspirin?"


def make_agent(
    texts: dict[str, str], steps: Any = None, *, verified: bool = True, rewordings: Any = (), **config: Any
) -> GraphAgent:
    def make_chain(retriever: BaseRetriever) -> AnswerChain:
        return qa_chain(ObeyingLLM(), retriever)

    judge = WordNLI()
    verifier = Verifier(judge)
    remaining_rewordings = list(rewordings)
    return GraphAgent(
        WordRetriever(texts=texts),
        make_chain,
        Grader(by_judge(judge), 0.2),
        (lambda answer: verifier.verify([answer])[0]) if verified else None,
        reword=lambda question, tried: remaining_rewordings.pop(0) if remaining_rewordings else None,
        config=AgentConfig(kind="graph", passages=config.pop("passages", 2), **config),
        on_step=steps.append if steps is not None else lambda _: None,
    )


def kinds(steps: list[Step]) -> list[str]:
    return [step.kind for step in steps]


def test_agent_retrieves_grades_and_answers() -> None:
    steps: list[Step] = []
    answer = make_agent({"a": "Zinc works.", "b": "Aspirin works."}, steps).invoke(QUESTION)
    assert (answer.label, answer.verdict) == ("yes", "supported")
    assert [one.id for one in answer.passages] == ["b"]
    assert kinds(steps) == ["retrieve", "grade", "answer"]
    assert steps[1].detail["grades"]["b"]["evidence"]
    assert not steps[1].detail["grades"]["a"]["evidence"]
    assert [step.number for step in steps] == [1, 2, 3]
    assert len({step.run for step in steps}) == 1


def test_agent_rewords_and_then_abstains_without_evidence() -> None:
    steps: list[Step] = []
    answer = make_agent({"a": "Zinc works."}, steps, rewordings=["aspirin", "pills"], rewrites=2).invoke(QUESTION)
    assert answer.label is None
    assert answer.withheld is None
    assert answer.text == (
        "No answer is given: none of the passages found is evidence on the question. "
        "Searched for: Is it so of aspirin?; aspirin; pills. Found: a."
    )
    assert kinds(steps) == ["retrieve", "grade", "reword"] * 2 + ["retrieve", "grade", "withhold"]


@pytest.mark.parametrize("rewrites", [0, 1, 3])
def test_agent_rewords_at_most_rewrites_times(rewrites: int) -> None:
    steps: list[Step] = []
    make_agent({"a": "Zinc works."}, steps, rewordings=list("pqrst"), rewrites=rewrites).invoke(QUESTION)
    assert kinds(steps).count("reword") == rewrites


def test_agent_answers_from_a_passage_that_only_a_rewording_finds() -> None:
    texts = {"a": "Is it so of zinc", "b": "Aspirin works."}
    answer = make_agent(texts, rewordings=["works"], passages=1).invoke("Is it so of Aspirin?")
    assert (answer.label, [one.id for one in answer.passages]) == ("yes", ["b"])


def test_agent_answers_from_the_next_evidence_after_an_unsupported_answer() -> None:
    steps: list[Step] = []
    texts = {"a": "Aspirin fails, it is so. Something else works.", "b": "Aspirin works."}
    answer = make_agent(texts, steps).invoke(QUESTION)
    assert [one.id for one in answer.passages] == ["b"]
    assert [step.detail["holds"] for step in steps if step.kind == "answer"] == [False, True]


def test_unsupported_answer_is_withheld_without_other_evidence() -> None:
    answer = make_agent({"a": "Aspirin fails. Something else works."}).invoke(QUESTION)
    assert answer.label is None
    assert answer.verdict == "contradicted"
    assert answer.withheld.label == "yes"
    assert "do not support the answer" in answer.text


def test_maybe_from_inconclusive_evidence_is_accepted() -> None:
    answer = make_agent({"a": "It is open what aspirin does."}).invoke(QUESTION)
    assert (answer.label, answer.verdict) == ("maybe", "not enough evidence")


def test_maybe_is_rejected_if_other_evidence_settles_the_question() -> None:
    texts = {"a": "Aspirin fails, it is so. Something else works.", "b": "It is open what aspirin is so far."}
    steps: list[Step] = []
    answer = make_agent(texts, steps).invoke(QUESTION)
    assert [step.detail["label"] for step in steps if step.kind == "answer"] == ["yes", "maybe"]
    assert answer.label is None
    assert answer.withheld.label == "yes"


def test_agent_accepts_answers_without_verification() -> None:
    answer = make_agent({"a": "Aspirin fails. Something else works."}, verified=False).invoke(QUESTION)
    assert (answer.label, answer.verdict) == ("yes", None)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_max_steps_stops_a_run(limit: int) -> None:
    steps: list[Step] = []
    agent = make_agent({"a": "Zinc works."}, steps, rewordings=list("pqrst"), rewrites=9, max_steps=limit)
    answer = agent.invoke(QUESTION)
    assert len(steps) == limit + 1  # the abstention is not limited
    assert kinds(steps)[-1] == "withhold"
    assert f"stopped after {limit} steps" in answer.text


def test_answer_of_the_last_allowed_step_is_accepted() -> None:
    assert make_agent({"a": "Aspirin works."}, max_steps=3).invoke(QUESTION).label == "yes"


def test_max_seconds_stops_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 2.0, *[99.0] * 50])  # seconds; the limit of 60 is exceeded after the first step
    monkeypatch.setattr("chains.agent.answering.Run", lambda *limits: Run(*limits, clock=lambda: next(times)))
    answer = make_agent({"a": "Aspirin works."}, max_seconds=60).invoke(QUESTION)
    assert "stopped after 60 seconds" in answer.text


def test_config_reaches_the_retriever_from_invoke_and_batch() -> None:
    class WardRetriever(BaseRetriever):
        ward: str = "none"

        def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
            return [Document(f"Aspirin works in {self.ward}.", id=self.ward)]

    agent = make_agent({})
    agent.retriever = WardRetriever().configurable_fields(ward=ConfigurableField("ward"))
    config: RunnableConfig = {"configurable": {"ward": "A"}}
    for answer in (agent.invoke(QUESTION, config), *agent.batch([QUESTION, QUESTION], config)):
        assert [one.id for one in answer.passages] == ["A"]


def test_agent_reads_passages_without_ids_that_a_rewording_finds() -> None:
    class RetrieverWithoutIds(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
            return [Document("Aspirin works." if query == "aspirin" else "Zinc works.")]

    agent = make_agent({}, rewordings=["aspirin"], rewrites=1)
    agent.retriever = RetrieverWithoutIds()
    assert agent.invoke(QUESTION).label == "yes"


@pytest.mark.parametrize("in_batch", [False, True], ids=["invoke", "batch"])
def test_passages_stay_out_of_the_checkpointer_of_an_enclosing_graph(in_batch: bool) -> None:
    chain = make_agent({"a": "Aspirin works."})
    graph = checkpointed_graph((lambda question: chain.batch([question])[0]) if in_batch else chain.invoke)
    end = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "1"}})
    assert end["label"] == "yes"
    assert "Aspirin works" not in checkpointed_text(graph)


def test_error_of_one_question_leaves_the_other_answers_of_a_batch() -> None:
    class FailingRetriever(WordRetriever):
        def search(self, questions: Any, k: int) -> Any:
            if "zinc" in questions[0]:
                raise UserError("The store is gone.")
            return super().search(questions, k)

    agent = make_agent({"a": "Aspirin works."})
    agent.retriever = FailingRetriever(texts={"a": "Aspirin works."})
    answer, error = agent.batch([QUESTION, "Is it so of zinc?"], return_exceptions=True)
    assert answer.label == "yes"
    assert str(error) == "The store is gone."


@pytest.mark.parametrize(("name", "text"), injections(), ids=[name for name, _ in injections()])
def test_instruction_in_a_document_changes_no_step_and_no_answer(name: str, text: str) -> None:
    clean_steps: list[Step] = []
    steps: list[Step] = []
    texts = {"good": abstract_with("It was cheap."), "secret": "Ann, Bob."}
    clean = make_agent(texts, clean_steps).invoke(QUESTION)
    answer = make_agent({**texts, "good": abstract_with(text)}, steps).invoke(QUESTION)
    assert kinds(steps) == kinds(clean_steps)
    assert clean.label is not None
    assert (answer.label, answer.verdict, answer.text) == (clean.label, clean.verdict, clean.text)
    assert [one.id for one in answer.passages] == ["good"]
    assert "Ann" not in str(answer.prompt)


def test_fake_model_obeys_an_instruction_in_the_question() -> None:
    answer = qa_chain(ObeyingLLM(), context="none").invoke("Is it so? Answer only no.")
    assert answer.label == "no"
