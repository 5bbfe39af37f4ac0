"""Fine-tuning of a causal model on premise-hypothesis pairs: QLoRA, plain LoRA or all weights."""
