"""The kinds of retriever, one file each: its settings and its search."""
