"""Tiny random checkpoints of popular chat architectures, saved to a folder, and LoRA adapters for them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GemmaConfig,
    GemmaForCausalLM,
    GenerationConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

TEXT = [
    "Read the text and answer the question with yes, no or maybe.",
    "Aspirin reduced the risk of stroke in adults with diabetes (p = 0.03). It did not change the rate of bleeding.",
    "Question: Does aspirin reduce stroke? Answer: yes. Perhaps it does; the reply may be no, or maybe.",
    "Patients were randomised to aspirin or placebo. The primary outcome was stroke within 12 months.",
]

_SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}

GEMMA_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\\n'"
    " + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
LLAMA2_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set rest = messages %}{% set system = false %}{% endif %}"
    "{% for message in rest %}"
    "{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] if loop.first and system"
    " else message['content'] %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
CHAT_TEMPLATE = (
    "<|begin|>{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_tokenizer(special: Sequence[str], template: str | None, **roles: str):
    """A byte-level BPE tokenizer trained on ``TEXT``; ``roles`` names special tokens, such as ``bos_token="<s>"``."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, extra_special_tokens=list(special), **roles)
    tokenizer.chat_template = template
    return tokenizer


def save_checkpoint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_gemma(folder: Path) -> Path:
    """Gemma: one key-value head, a head size other than hidden size / heads, a template that refuses a system turn."""
    torch.manual_seed(1)
    tokenizer = make_tokenizer(
        ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
        GEMMA_TEMPLATE,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
    )
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
    shape = {**_SIZES, "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 512}
    model = GemmaForCausalLM(GemmaConfig(vocab_size=len(tokenizer), **shape, **ids))
    return save_checkpoint(model, tokenizer, folder)


def make_llama2(folder: Path) -> Path:
    """Llama-2 chat: ``[INST]`` turns, no padding token, generation settings that sample."""
    torch.manual_seed(2)
    tokenizer = make_tokenizer(
        ["<unk>", "<s>", "</s>"], LLAMA2_TEMPLATE, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    ids = {"bos_token_id": 1, "eos_token_id": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **_SIZES, max_position_embeddings=512, **ids))
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.6, top_p=0.9, max_length=512, **ids)
    return save_checkpoint(model, tokenizer, folder)


def make_gpt2(folder: Path) -> Path:
    """GPT-2: learned positions, one token for beginning, end and unknown, no padding token, no chat template."""
    torch.manual_seed(3)
    end = "<|endoftext|>"
    tokenizer = make_tokenizer([end], None, bos_token=end, eos_token=end, unk_token=end)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=2, n_positions=512, bos_token_id=0, eos_token_id=0
        )
    )
    return save_checkpoint(model, tokenizer, folder)


def make_chat(folder: Path, window: int = 1024, hidden: int = 64) -> Path:
    """Llama with medground-tiny's chat template, a context window of ``window`` tokens and ``hidden`` dimensions."""
    torch.manual_seed(4)
    tokenizer = make_tokenizer(
        ["<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"],
        CHAT_TEMPLATE,
        pad_token="<|pad|>",
        bos_token="<|begin|>",
        eos_token="<|end|>",
    )
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    shape = {**_SIZES, "hidden_size": hidden, "intermediate_size": 2 * hidden, "max_position_embeddings": window}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **shape, **ids))
    return save_checkpoint(model, tokenizer, folder)


def make_adapter(base: Path, folder: Path, *, base_name: str | None = None, seed: int = 5) -> Path:
    """A LoRA adapter for ``base`` with random weights so large that they change its answers."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(model, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    adapted.peft_config["default"].base_model_name_or_path = base_name or str(base)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


MAKERS = {"gemma": make_gemma, "llama2": make_llama2, "gpt2": make_gpt2, "chat": make_chat}
