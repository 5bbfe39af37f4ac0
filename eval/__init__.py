"""Evaluation: runs chains on tasks, scores them and reports the figures."""
