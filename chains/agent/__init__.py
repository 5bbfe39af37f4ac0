"""Agents: chains that search, grade the passages found, and abstain without evidence."""
