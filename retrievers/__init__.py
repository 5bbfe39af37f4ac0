"""Retrieval: embedders, the store, and retrievers of many kinds."""

from retrievers.registry import make_retriever, make_retrievers

__all__ = ["make_retriever", "make_retrievers"]
