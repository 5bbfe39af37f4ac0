"""Fine-tuning of a sentence-transformers embedder on questions and the abstracts that answer them."""
