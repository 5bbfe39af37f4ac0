"""Generators of shipped data and models; run from the repository, not installed with the package."""
