"""Agents: chains that search, grade what they found, and withhold what has no evidence."""
