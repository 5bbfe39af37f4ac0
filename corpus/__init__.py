"""Reads: PubMedQA, the user's documents, the embedded sample."""
