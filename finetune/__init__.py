"""Fine-tuning: QLoRA adapters, encoders and embedders, and merging of adapters."""
