"""Finds: embedders, vector store, lexical search."""
