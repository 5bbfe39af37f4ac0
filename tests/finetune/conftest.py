"""Tiny base models, created once a session."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def encoder_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from classifiers import make_encoder

    return make_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="session")
def embedder_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from embedders import save_tiny_embedder

    return save_tiny_embedder(tmp_path_factory.mktemp("embedder"))
