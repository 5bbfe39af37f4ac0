import asyncio
import json
import socket

import pytest
from stub_openai import said, slowly, stub_openai

from chains.config import LLMConfig
from chains.models.endpoint import ElsewhereError, Endpoint
from chains.models.remote import connect

remote_chat = pytest.importorskip("chains.models.remote_chat").remote_chat


def test_it_is_asked_as_a_langchain_model() -> None:
    with stub_openai() as stub:
        model = connect(LLMConfig(kind="openai", base_url=stub.url, model="stub")).chat
        assert model.invoke("Is it?", max_tokens=5).content == "yes"
    body = stub.bodies[-1]
    assert body["messages"] == [{"role": "user", "content": "Is it?"}]
    assert 5 in (body.get("max_tokens"), body.get("max_completion_tokens"))
    assert model.get_num_tokens("Is it so?") == 3


def test_it_streams() -> None:
    pieces = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in ("It ", "is.")]
    events = "".join(f"data: {json.dumps({'id': '1', 'model': 'm', **piece})}\n\n" for piece in pieces)
    headers = {"Content-Type": "text/event-stream"}
    with stub_openai(lambda _: (200, f"{events}data: [DONE]\n\n", headers)) as stub:
        model = remote_chat("stub", Endpoint(stub.url, None))
        assert [chunk.text for chunk in model.stream("Is it?") if chunk.text] == ["It ", "is."]
        broken = f"data: {json.dumps({'error': {'message': 'lost it'}})}\n\n"
        stub.reply = lambda _: (200, broken, headers)
        with pytest.raises(ElsewhereError, match="lost it"):
            list(model.stream("Is it?"))


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_failures_are_told_in_sentences(how: str) -> None:
    def failure(model) -> str:
        with pytest.raises(ElsewhereError) as caught:
            list(getattr(model, how)("Is it?"))
        return str(caught.value)

    with stub_openai(lambda _: (401, {"error": {"message": "no entry"}})) as stub:
        model = remote_chat("stub", Endpoint(stub.url, None))
        assert "wants a key: put it into the environment variable MEDGROUND_LLM_KEY. It says: no entry" in failure(
            model
        )
        stub.reply = slowly((200, said("yes")), 1)
        late = remote_chat("stub", Endpoint(stub.url, None, timeout=0.2)).model_copy()
        late.root_client.max_retries = 0
        late.client = late.root_client.chat.completions
        assert "did not answer within 0.2 seconds" in failure(late)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        gone = remote_chat("m", Endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", None))
        assert "No server can be reached" in failure(gone)


@pytest.mark.parametrize("how", ["ainvoke", "astream"])
def test_failures_in_an_event_loop_are_told_so_too(how: str) -> None:
    async def ask(model) -> None:
        if how == "ainvoke":
            await model.ainvoke("Is it?")
        else:
            async for _ in model.astream("Is it?"):
                pass

    with stub_openai(lambda _: (401, {"error": {"message": "no entry"}})) as stub:
        with pytest.raises(ElsewhereError, match="wants a key"):
            asyncio.run(ask(remote_chat("stub", Endpoint(stub.url, None))))
        assert stub.bodies
