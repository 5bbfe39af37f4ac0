"""An entailment adapter for a causal model: QLoRA, plain LoRA or full fine-tuning on premise-hypothesis pairs."""
