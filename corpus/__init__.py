"""Reads: PubMedQA, the documents of the user, the embedded sample."""
