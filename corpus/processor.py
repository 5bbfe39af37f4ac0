"""What the processor can compute in."""


def computes_bfloat16() -> bool:
    """Whether the processor has bfloat16 instructions (AVX512-BF16, AMX-BF16, or Arm's), so that it saves time."""
    import torch

    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    has: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch do not tell
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
