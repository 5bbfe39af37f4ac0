"""Writes GGUF files from small Llama checkpoints, and wheels that contain a GGUF file."""

import hashlib
import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
from transformers import AutoModelForCausalLM, AutoTokenizer

from chains.models.known import KnownModel, Package

_GGUF_NAMES = {  # GGUF's names of a layer's modules, by transformers' names
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(folder: Path, file: Path, *, template: str | None = None, add_bos: bool = False) -> Path:
    """Write the Llama checkpoint in ``folder``, with a byte-level BPE tokenizer, as an unquantized GGUF file."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_name(folder.name)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_add_bos_token(add_bos)
    _add_tokenizer(writer, tokenizer, config.vocab_size, template or tokenizer.chat_template)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        array = tensor.float().numpy()
        if name == "lm_head.weight":
            if not config.tie_word_embeddings:
                writer.add_tensor("output.weight", array)
        elif name == "model.embed_tokens.weight":
            writer.add_tensor("token_embd.weight", array)
        elif name == "model.norm.weight":
            writer.add_tensor("output_norm.weight", array)
        else:
            _, _, layer, *module, _ = name.split(".")  # model.layers.LAYER.MODULE.weight
            gguf_name = _GGUF_NAMES[".".join(module)]
            if gguf_name in heads:  # GGUF's Llama interleaves the two halves of each head
                half_head = array.shape[0] // heads[gguf_name] // 2
                array = array.reshape(heads[gguf_name], 2, half_head, -1).swapaxes(1, 2).reshape(array.shape)
            writer.add_tensor(f"blk.{layer}.{gguf_name}.weight", np.ascontiguousarray(array))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: object, size: int, template: str | None) -> None:
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {token["content"] for token in content["added_tokens"]}
    ids = tokenizer.get_vocab()
    tokens = [*sorted(ids, key=ids.get), *(f"[PAD{i}]" for i in range(len(ids), size))]
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([control if token in special else normal for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    if template is not None:
        writer.add_chat_template(template)


def write_wheel(folder: Path, file: Path, *, content: bytes | None = None) -> Package:
    """Write a wheel with the GGUF ``file`` into ``folder``; returns its description with the file's size and digest.

    ``content`` replaces the file's content in the wheel, for tests of damaged downloads.
    """
    member, info = "tiny_model/model.gguf", "tiny_model-1.0.dist-info"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, file.read_bytes() if content is None else content)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny_model\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return Package("tiny_model==1.0", member, file.stat().st_size, digest, "a model of a test")


def make_known_model(package: Package | None) -> KnownModel:
    """An entry of the table of known models."""
    return KnownModel("tiny", "nobody/tiny", "Tiny", 1000, 100, "MIT", gated=False, template="chatml", package=package)
