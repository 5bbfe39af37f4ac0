"""The kinds of retriever: one file per kind, with its settings and its retriever class."""
