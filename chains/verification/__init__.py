"""Verification with an NLI model: answers, the sentences of answers, and statements that a user enters."""
