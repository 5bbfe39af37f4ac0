"""Teaches: the recipes that train models."""
