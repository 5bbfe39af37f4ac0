"""Answers: models, prompts, retrieval-augmented question answering."""
