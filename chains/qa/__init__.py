"""Question answering over retrieved passages."""

from chains.qa.chain import QAChain, qa_chain

__all__ = ["QAChain", "qa_chain"]
