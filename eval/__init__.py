"""Measures: runs a chain over a task and scores it."""
