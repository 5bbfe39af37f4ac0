"""Readers of PubMedQA, of inference pairs and claims, of the user's documents, and of the embedded sample."""
