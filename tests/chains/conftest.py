import checkpoints
import pytest

from chains.config import LLMConfig
from chains.models.local import LocalLLM, load_llm


@pytest.fixture(scope="session")
def llm(tmp_path_factory: pytest.TempPathFactory) -> LocalLLM:
    """A small chat model with random weights."""
    return load_llm(LLMConfig(model=str(checkpoints.make_chat(tmp_path_factory.mktemp("chat"))), dtype="float32"))
