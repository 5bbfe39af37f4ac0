"""Fine-tuning of an encoder with a classification head on pairs of texts."""
