"""A sequence classifier taught on pairs of texts: an encoder and transformers' own trainer."""
