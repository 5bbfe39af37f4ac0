"""A user's LangGraph graph with one node, which asks a chain, and a checkpointer."""

from collections.abc import Callable
from typing import Any, TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph


class _State(TypedDict):
    question: str
    label: str | None


def checkpointed_graph(ask: Callable[[str], Any]) -> Any:
    """``invoke({"question": ...}, config with a thread_id)`` returns the state with the answer's label."""
    graph = StateGraph(_State)
    graph.add_node("ask", lambda state: {"label": ask(state["question"]).label})
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())


def checkpointed_text(graph: Any) -> str:
    """Everything that the checkpointer stored, as text."""
    saver = graph.checkpointer
    return repr(saver.storage) + repr(saver.blobs) + repr(saver.writes)
