"""A user's LangGraph graph around a chain: one node that asks it, and a checkpointer."""

from collections.abc import Callable
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph


class _State(TypedDict):
    question: str
    label: str | None


def checkpointed_graph(ask: Callable[[str], Any]) -> Any:
    """A graph that takes ``{"question": ...}`` and returns the state with the label of the answer of ``ask``."""
    graph = StateGraph(_State)
    graph.add_node("ask", lambda state: {"label": ask(state["question"]).label})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())


def checkpointed_text(graph: Any) -> str:
    """The ``repr`` of all data in the graph's checkpointer."""
    saver = graph.checkpointer
    return repr(saver.storage) + repr(saver.blobs) + repr(saver.writes)
