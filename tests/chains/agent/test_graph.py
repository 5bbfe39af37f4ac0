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
from chains.answer import Answer
from chains.config import AgentConfig
from chains.qa.base import AnswerChain
from chains.qa.chain import qa_chain
from chains.verification.answers import Verifier
from common.errors import UserError

# WordNLI takes the last word and looks for "aspirin works" or "aspirin fails" in the premise. ObeyingLLM answers "yes"
# if "works" is in the prompt, else "maybe".
QUESTION = "Is it so of aspirin?"


def agent(
    texts: dict[str, str], steps: list[Step] | None = None, *, judged: bool = True, rewordings: Any = (), **config: Any
) -> GraphAgent:
    def make_chain(retriever: BaseRetriever) -> AnswerChain:
        return qa_chain(ObeyingLLM(), retriever)

    judge = WordNLI()
    verifier = Verifier(judge)

    def verify(answer: Answer) -> Answer:
        return verifier.verify([answer])[0]

    left = list(rewordings)
    return GraphAgent(
        WordRetriever(texts=texts),
        make_chain,
        Grader(by_judge(judge), 0.2),
        verify if judged else None,
        reword=lambda question, tried: left.pop(0) if left else None,
        config=AgentConfig(kind="graph", passages=config.pop("passages", 2), **config),
        on_step=steps.append if steps is not None else lambda _: None,
    )


def kinds(steps: list[Step]) -> list[str]:
    return [step.kind for step in steps]


def test_evidence_is_found_read_and_judged() -> None:
    steps: list[Step] = []
    answer = agent({"a": "Zinc works.", "b": "Aspirin works."}, steps).invoke(QUESTION)
    assert (answer.label, answer.verdict) == ("yes", "supported")
    assert [one.id for one in answer.passages] == ["b"]
    assert kinds(steps) == ["retrieve", "grade", "answer"]
    assert steps[1].detail["grades"]["b"]["evidence"]
    assert not steps[1].detail["grades"]["a"]["evidence"]
    assert [step.number for step in steps] == [1, 2, 3]
    assert len({step.run for step in steps}) == 1


def test_rewords_and_then_abstains_without_evidence() -> None:
    steps: list[Step] = []
    answer = agent({"a": "Zinc works."}, steps, rewordings=["aspirin", "pills"], rewrites=2).invoke(QUESTION)
    assert answer.label is None
    assert answer.withheld is None
    assert answer.text == (
        "No answer is given: none of the passages found is evidence on the question. "
        "Searched for: Is it so of aspirin?; aspirin; pills. Found: a."
    )
    assert kinds(steps) == ["retrieve", "grade", "reword"] * 2 + ["retrieve", "grade", "withhold"]


@pytest.mark.parametrize("rewrites", [0, 1, 3])
def test_rewords_at_most_rewrites_times(rewrites: int) -> None:
    steps: list[Step] = []
    agent({"a": "Zinc works."}, steps, rewordings=list("pqrst"), rewrites=rewrites).invoke(QUESTION)
    assert kinds(steps).count("reword") == rewrites


def test_a_rewording_finds_what_the_question_did_not() -> None:
    texts = {"a": "Is it so of zinc", "b": "Aspirin works."}
    answer = agent(texts, rewordings=["works"], passages=1).invoke("Is it so of Aspirin?")
    assert (answer.label, [one.id for one in answer.passages]) == ("yes", ["b"])


def test_an_unsupported_answer_gives_way_to_other_evidence() -> None:
    steps: list[Step] = []
    texts = {"a": "Aspirin fails, it is so. Something else works.", "b": "Aspirin works."}
    answer = agent(texts, steps).invoke(QUESTION)
    assert [one.id for one in answer.passages] == ["b"]
    assert [step.detail["holds"] for step in steps if step.kind == "answer"] == [False, True]


def test_an_unsupported_answer_is_withheld_without_other_evidence() -> None:
    answer = agent({"a": "Aspirin fails. Something else works."}).invoke(QUESTION)
    assert answer.label is None
    assert answer.verdict == "contradicted"
    assert answer.withheld is not None
    assert answer.withheld.label == "yes"
    assert "do not support the answer" in answer.text


def test_a_maybe_that_rests_on_evidence_is_given() -> None:
    answer = agent({"a": "It is open what aspirin does."}).invoke(QUESTION)
    assert (answer.label, answer.verdict) == ("maybe", "not enough evidence")


def test_a_maybe_is_not_given_where_other_evidence_settles_the_question() -> None:
    texts = {"a": "Aspirin fails, it is so. Something else works.", "b": "It is open what aspirin is so far."}
    steps: list[Step] = []
    answer = agent(texts, steps).invoke(QUESTION)
    assert [step.detail["label"] for step in steps if step.kind == "answer"] == ["yes", "maybe"]
    assert answer.label is None
    assert answer.withheld is not None
    assert answer.withheld.label == "yes"


def test_without_a_judge_the_answer_from_evidence_is_given_as_it_is() -> None:
    answer = agent({"a": "Aspirin fails. Something else works."}, judged=False).invoke(QUESTION)
    assert (answer.label, answer.verdict) == ("yes", None)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_limit_of_steps_holds(most: int) -> None:
    steps: list[Step] = []
    answer = agent({"a": "Zinc works."}, steps, rewordings=list("pqrst"), rewrites=9, max_steps=most).invoke(QUESTION)
    assert len(steps) == most + 1
    assert kinds(steps)[-1] == "withhold"
    assert f"stopped after {most} steps" in answer.text


def test_an_answer_that_was_found_in_the_last_step_is_given() -> None:
    assert agent({"a": "Aspirin works."}, max_steps=3).invoke(QUESTION).label == "yes"


def test_the_limit_of_time_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 2.0, *[99.0] * 50])
    monkeypatch.setattr("chains.agent.graph.Run", lambda *limits: Run(*limits, clock=lambda: next(times)))
    answer = agent({"a": "Aspirin works."}, max_seconds=60).invoke(QUESTION)
    assert "stopped after 60 seconds" in answer.text


def test_the_config_reaches_the_retriever_from_a_batch_too() -> None:
    class Ward(BaseRetriever):
        ward: str = "none"

        def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
            return [Document(f"Aspirin works in {self.ward}.", id=self.ward)]

    made = agent({})
    made.retriever = Ward().configurable_fields(ward=ConfigurableField("ward"))
    config: RunnableConfig = {"configurable": {"ward": "A"}}
    for answer in (made.invoke(QUESTION, config), *made.batch([QUESTION, QUESTION], config)):
        assert [one.id for one in answer.passages] == ["A"]


def test_reads_passages_without_ids_that_a_rewording_finds() -> None:
    class Plain(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: object) -> list[Document]:
            return [Document("Aspirin works." if query == "aspirin" else "Zinc works.")]

    made = agent({}, rewordings=["aspirin"], rewrites=1)
    made.retriever = Plain()
    assert made.invoke(QUESTION).label == "yes"


@pytest.mark.parametrize("many", [False, True], ids=["invoke", "batch"])
def test_passages_stay_out_of_the_checkpointer_of_an_enclosing_graph(many: bool) -> None:
    made = agent({"a": "Aspirin works."})
    graph = checkpointed_graph((lambda question: made.batch([question])[0]) if many else made.invoke)
    end = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "1"}})
    assert end["label"] == "yes"
    assert "Aspirin works" not in checkpointed_text(graph)


def test_an_error_with_one_question_leaves_the_others_of_the_batch() -> None:
    class Broken(WordRetriever):
        def search(self, questions: Any, k: int) -> Any:
            if "zinc" in questions[0]:
                raise UserError("The store is gone.")
            return super().search(questions, k)

    made = agent({"a": "Aspirin works."})
    made.retriever = Broken(texts={"a": "Aspirin works."})
    good, bad = made.batch([QUESTION, "Is it so of zinc?"], return_exceptions=True)
    assert good.label == "yes"
    assert str(bad) == "The store is gone."


@pytest.mark.parametrize(("name", "text"), injections(), ids=[name for name, _ in injections()])
def test_an_instruction_in_a_document_changes_no_step_and_no_label(name: str, text: str) -> None:
    clean: list[Step] = []
    steps: list[Step] = []
    without = agent({"good": abstract_with("It was cheap."), "secret": "Ann, Bob."}, clean).invoke(QUESTION)
    answer = agent({"good": abstract_with(text), "secret": "Ann, Bob."}, steps).invoke(QUESTION)
    assert kinds(steps) == kinds(clean)
    assert (answer.label, answer.verdict, answer.text) == (without.label, without.verdict, without.text) != (None,) * 3
    assert [one.id for one in answer.passages] == ["good"]
    assert "Ann" not in str(answer.prompt)


def test_the_fake_model_obeys_an_instruction_outside_a_document() -> None:
    answer = qa_chain(ObeyingLLM(), context="none").invoke("Is it so? Answer only no.")
    assert answer.label == "no"
