"""Settings: merging of defaults, file and overrides, and error messages."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from common.errors import UserError
from medground.settings import _UNMERGED, Settings, load_settings
from retrievers.kinds.hybrid import HybridConfig
from retrievers.kinds.mmr import MMRConfig
from retrievers.registry import KINDS, config_class

CONFIGS = Path(__file__).parents[2] / "configs"


def config_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def error_message(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        load_settings(config_file(tmp_path, text))
    return str(caught.value)


def test_default_yaml_has_the_default_settings() -> None:
    assert load_settings(CONFIGS / "default.yaml") == Settings()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_file_in_configs_is_valid_and_begins_with_its_command(path: Path) -> None:
    load_settings(path)
    assert f"--config configs/{path.name}" in path.read_text().split("\nllm:")[0]


def test_settings_that_a_file_omits_have_their_defaults(tmp_path: Path) -> None:
    path = config_file(tmp_path, "llm:\n  max_new_tokens: 3\nretrievers:\n  second: {kind: dense, top_k: 9}\nstore:\n")
    settings = load_settings(path)
    assert settings.llm.max_new_tokens == 3
    assert settings.llm.model == "embedded"
    assert list(settings.retrievers) == ["dense", "bm25", "second"]
    assert settings.store == Settings().store


def test_override_takes_precedence_over_the_file(tmp_path: Path) -> None:
    path = config_file(tmp_path, "llm: {max_new_tokens: 3}\n")
    assert load_settings(path, {"llm.max_new_tokens": 4}).llm.max_new_tokens == 4
    assert load_settings(path, {"llm": {"max_new_tokens": 5}}).llm.max_new_tokens == 5


def test_mapping_with_user_defined_keys_is_replaced_not_merged(tmp_path: Path) -> None:
    path = config_file(
        tmp_path,
        """
pairs: {labels: {"yes": follows, "no": rejected}, columns: {label: verdict}}
retrievers: {both: {kind: hybrid, retrievers: {dense: 0.7, bm25: 0.3}}}
eval: {grid: {llms: {a: {model: x, dtype: float16}, b: {model: y}}, encoders: {e: f}}}
serve: {tokens: {ann: one, bob: two}}
""",
    )
    settings = load_settings(path)
    assert settings.pairs.labels == {"yes": "follows", "no": "rejected"}
    assert settings.pairs.columns.premise == "sentence1"  # pairs.columns has fixed keys, so it is merged
    new_mappings = {
        "pairs.labels": {"1": "a", "2": "b"},
        "retrievers.both.retrievers": {"bm25": 1},
        "eval": {"grid": {"llms": {"c": {"model": "z"}}, "encoders": {}}},
        "serve.tokens": {"eve": "three"},
    }
    changed = load_settings(path, new_mappings)
    assert changed.pairs.labels == {"1": "a", "2": "b"}
    assert changed.retrievers["both"] == HybridConfig(retrievers={"bm25": 1})
    assert list(changed.eval.grid.llms) == ["c"]
    assert changed.eval.grid.encoders == {}
    assert list(changed.serve.tokens) == ["eve"]


def test_dotted_key_changes_one_entry_of_a_mapping_with_user_defined_keys(tmp_path: Path) -> None:
    path = config_file(tmp_path, "eval: {grid: {llms: {a: {model: x, dtype: float16}, b: {model: y}}}}\n")
    settings = load_settings(path, {"pairs.labels.neutral": "open", "eval.grid.llms.a.dtype": "float32"})
    assert list(settings.pairs.labels.values()) == ["entailment", "open", "contradiction"]
    assert [(llm.model, llm.dtype) for llm in settings.eval.grid.llms.values()] == [("x", "float32"), ("y", "auto")]


def _mapping_keys(annotation: Any, key: str) -> Iterator[str]:
    """Dotted keys of all ``dict`` or ``Mapping`` fields in an annotation; ``NAME`` stands for a user-defined key."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from _mapping_keys(field.annotation, f"{key}.{name}".lstrip("."))
    elif get_origin(annotation) in (dict, Mapping):
        yield key
        yield from _mapping_keys(get_args(annotation)[1], f"{key}.NAME")
    else:
        for argument in get_args(annotation):
            yield from _mapping_keys(argument, key)


def test_unmerged_covers_every_mapping_with_user_defined_keys() -> None:
    keys = {*_mapping_keys(Settings, "")} - {"embedders", "retrievers"}  # these two are merged
    for kind in KINDS:
        keys |= {*_mapping_keys(config_class({"kind": kind}), "retrievers.NAME")}
    assert {"pairs.labels", "retrievers.NAME.retrievers", "eval.grid.published.qa.NAME"} <= keys
    for key in keys:
        assert any(fnmatchcase(key, glob) or fnmatchcase(key, f"{glob}.*") for glob in _UNMERGED), key


def test_changing_the_kind_of_a_retriever_resets_its_settings() -> None:
    settings = load_settings(None, {"retrievers": {"dense": {"kind": "bm25"}}})
    assert settings.retrievers["dense"] == settings.retrievers["bm25"]


def test_kind_may_come_last_in_one_mapping_of_overrides() -> None:
    overrides = {"retrievers.dense.candidates": 9, "retrievers.dense.retriever": "bm25", "retrievers.dense.kind": "mmr"}
    assert load_settings(None, overrides).retrievers["dense"] == MMRConfig(retriever="bm25", candidates=9)


def test_changing_the_kind_of_llm_or_agent_keeps_their_other_settings(tmp_path: Path) -> None:
    path = config_file(tmp_path, "llm: {model: served, system: Be brief.}\nagent: {passages: 8}\n")
    settings = load_settings(
        path, {"llm.base_url": "http://127.0.0.1:1/v1", "llm.kind": "openai"}, {"agent.kind": "graph"}
    )
    assert (settings.llm.model, settings.llm.system) == ("served", "Be brief.")
    assert (settings.agent.kind, settings.agent.passages) == ("graph", 8)
    served = {"llm": {"kind": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}}
    with pytest.raises(UserError, match="base_url is for kind openai, and the kind is huggingface; set it to null"):
        load_settings(None, served, {"llm.kind": "huggingface"})
    assert load_settings(None, served, {"llm.kind": "huggingface", "llm.base_url": None}).llm.model == "m"


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    message = error_message(
        tmp_path,
        """
llm: {modl: x, dtype: float8, max_new_tokens: 0}
retrievers:
  dense: {topk: 3}
  other: {kind: colbert}
  third: {kind: dense, embedder: nope}
retriever: sparse
prompts: {}
chain: 3
""",
    )
    for line in (
        "llm.modl: there is no such setting. Did you mean model?",
        "llm.dtype: should be",
        "llm.max_new_tokens: should be greater than or equal to 1, not 0.",
        "retrievers.dense.topk: there is no such setting. Did you mean top_k?",
        "retrievers.other.kind: 'colbert' is not a kind",
        "retrievers.third.embedder: there is no embedder 'nope'; there are minilm.",
        "retriever: there is no retriever 'sparse'",
        "prompts: there is no such setting. Did you mean prompt?",
        "chain: must be a mapping of settings, not 3.",
    ):
        assert line in message, message
    assert "there are 9 problems" in message


INVALID_SETTINGS = {
    "a section as a list": ("llm: [a]", "llm: must be a mapping"),
    "a section as a text": ("data: sample", "data: must be a mapping"),
    "retrievers as a list": ("retrievers: [dense]", "retrievers: should be a valid dictionary"),
    "a retriever as a text": ("retrievers: {dense: bm25}", "retrievers.dense"),
    "a retriever without kind": ("retrievers: {mine: {top_k: 3}}", "retrievers.mine"),
    "a text for a number": ("llm: {max_new_tokens: many}", "llm.max_new_tokens"),
    "a list for a text": ("llm: {model: [a]}", "llm.model"),
    "a list for a path": ("pairs: {path: [a]}", "pairs.path"),
    "infinity for a time": ("serve: {session_hours: .inf}", "serve.session_hours"),
    "null for a text": ("llm: {model: null}", "llm.model"),
    "an empty text": ("llm: {model: ''}", "llm.model"),
    "a negative number": ("retrievers: {dense: {top_k: -1}}", "retrievers.dense.top_k"),
    "zero": ("chain: {passages: 0}", "chain.passages"),
    "NaN": ("retrievers: {bm25: {b: .nan}}", "retrievers.bm25.b"),
    "infinity": ("retrievers: {bm25: {k1: .inf}}", "retrievers.bm25.k1"),
    "a number that is too big": ("retrievers: {bm25: {b: 7}}", "retrievers.bm25.b"),
    "a YAML boolean for a choice": ("chain: {decide: yes}", "chain.decide"),
    "a huge value": ("llm: {dtype: " + "x" * 100_000 + "}", "llm.dtype"),
    "an unknown name without similar ones": ("llm: {zzzzzz: 1}", "Known here: kind, model"),
    "limit 0": ("data: {limit: 0}", "data.limit"),
    "an unknown split": ("data: {split: val}", "data.split"),
    "a lone surrogate in a kind": (r'retrievers: {a: {kind: "\ud800"}}', "is not a kind"),
    "a lone surrogate in a name": (
        r'retrievers: {"\ud800": {kind: filter, retriever: gone}}',
        "there is no retriever 'gone'",
    ),
    "a null character": ('serve: {host: "a\\0b"}', r"serve.host: must not have a null character, not 'a\x00b'."),
    "a null character in an entry": ('retrievers: {a: {kind: dense, embedder: "\\0"}}', "retrievers.a.embedder: must"),
    "a self-referencing mapping": ("llm: &x {model: *x}", "llm.model"),
}


@pytest.mark.parametrize(("text", "expected"), INVALID_SETTINGS.values(), ids=INVALID_SETTINGS)
def test_invalid_setting_is_named_in_a_short_message(tmp_path: Path, text: str, expected: str) -> None:
    message = error_message(tmp_path, text)
    assert expected in message
    assert len(message) < 1_000


def test_settings_class_rejects_an_unknown_retriever() -> None:
    with pytest.raises(ValidationError, match="there is no retriever 'sparse'"):
        Settings(retriever="sparse")


@pytest.mark.parametrize("key", ["retrievers.nope.top_k", "nope", "llm.nope.deeper", "llm.model.deeper", ""])
def test_override_of_an_unknown_setting_is_refused(key: str) -> None:
    with pytest.raises(UserError):
        load_settings(None, {key: 3})


@pytest.mark.parametrize("override", [{1: 2}, 5, [1], b"retriever: bm25", ["retriever"]])
def test_override_that_is_no_mapping_of_names_is_refused(override: Any) -> None:
    with pytest.raises(UserError, match=r"is not a text|must be a file or a mapping"):
        load_settings(None, override)


def test_retrievers_may_build_on_others(tmp_path: Path) -> None:
    text = """
retrievers:
  hybrid: {kind: hybrid, retrievers: {dense: 0.7, bm25: 0.3}}
  top: {kind: mmr, retriever: hybrid}
retriever: top
"""
    settings = load_settings(config_file(tmp_path, text))
    assert list(settings.retrievers["hybrid"].model_dump()["retrievers"]) == ["dense", "bm25"]


def test_unknown_and_cyclic_base_retrievers_are_reported(tmp_path: Path) -> None:
    message = error_message(
        tmp_path,
        """
retrievers:
  one: {kind: hybrid, retrievers: {dense: 1, nope: 1}}
  two: {kind: filter, retriever: nil}
  a: {kind: rerank, retriever: b, model: m}
  b: {kind: mmr, retriever: a, embedder: none}
""",
    )
    for line in (
        "retrievers.one.retrievers: there is no retriever 'nope'; there are dense, bm25, one, two, a, b.",
        "retrievers.two.retriever: there is no retriever 'nil'",
        "retrievers.b.embedder: there is no embedder 'none'",
        "retrievers.a: these build on each other in a circle: a -> b -> a.",
    ):
        assert line in message
