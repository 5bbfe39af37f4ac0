"""An embedder taught which abstract belongs to which question: a sentence-transformers model and its own trainer."""
