"""Sequence classifiers: NLI models and answers from a given text."""
