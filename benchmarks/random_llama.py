"""A Llama with random weights and medground-tiny's tokenizer: as fast as a taught one of its size, whatever it says."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from chains.models.local import EMBEDDED

SEED = 7


def save_random_llama(
    folder: Path, *, width: int, feed_forward: int, layers: int, window: int, scale: float = 0.02
) -> int:
    """Save it in float32, with heads of 64 numbers, and return how many parameters it has.

    ``scale`` is the weights' standard deviation.
    """
    torch.manual_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(EMBEDDED)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=feed_forward,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
            max_position_embeddings=window,
            initializer_range=scale,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return int(model.num_parameters())
