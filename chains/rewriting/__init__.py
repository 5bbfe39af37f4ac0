"""Rewriting of questions: other wordings for retrieval, and follow-ups made self-contained."""
