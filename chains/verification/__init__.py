"""Verification by an entailment model: answers, their sentences, and statements of a user's own."""
