"""LangChain chat model for llama.cpp."""

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema
from langchain_core.utils.pydantic import is_basemodel_subclass

from chains.models.base import check_room
from chains.models.reasoning import open_reasoning_tag
from chains.prompts import as_dicts
from common.errors import UserError

_COMPACT = {"x-guidance": {"whitespace_flexible": False}}  # else small models may generate endless spaces


class LlamaCppChat(BaseChatModel):
    """A chat model over a ``llamacpp.LlamaCppLLM`` with greedy decoding.

    Closing a stream stops generation. If the chat template opens the model's reasoning in the prompt, answers begin
    with that opening tag. Tools are not supported; ``with_structured_output`` constrains the text to a JSON schema.

    Attributes:
        local: the ``LlamaCppLLM``.
        model_name: the model's name in the settings.
        max_tokens: maximum length of an answer; None for ``llm.max_new_tokens``.
        stop: texts that end an answer.
    """

    local: Any
    model_name: str
    max_tokens: int | None = None
    stop: list[str] | None = None

    @property
    def _llm_type(self) -> str:
        return "llamacpp"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "max_tokens": self.max_tokens}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002  (LangChain passes it)
        **kwargs: Any,
    ) -> ChatResult:
        opening_tag, ids, options = self._request(messages, stop, kwargs)
        response = self.local.engine.complete(ids, **options)
        message = AIMessage(
            content=opening_tag + self.local.remove_control_tokens(response["content"]),
            usage_metadata=_usage(ids, response),
            response_metadata=self._metadata(response),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        prepended, ids, options = self._request(messages, stop, kwargs)
        for piece in self.local.engine.stream(ids, **options):
            message = AIMessageChunk(content=prepended + self.local.remove_control_tokens(piece["content"]))
            prepended = ""
            if piece["stop"]:
                message.usage_metadata, message.response_metadata = _usage(ids, piece), self._metadata(piece)
                message.chunk_position = "last"
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:  # noqa: ARG002
        """Raise ``UserError``: tools are not supported, since their format in the prompt differs between models."""
        raise UserError(
            "Models of llm.kind llamacpp cannot call tools. Set agent.kind to graph, or start llama.cpp's server "
            "(llama-server --jinja) with a model that supports tools, and set llm.kind to openai."
        )

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: str = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """The model, constrained to answers in a JSON schema, with a parser to a pydantic object or a dict.

        Parsing fails if ``max_tokens`` cuts the answer off.

        Args:
            schema: a pydantic class, a ``TypedDict`` or a JSON schema.
            include_raw: return a dict of ``raw``, ``parsed`` and ``parsing_error``.
            method: must be ``json_schema``.
            kwargs: may have only ``strict``, which is ignored, since the schema is always enforced.

        Raises:
            UserError: another method or argument is given.
        """
        if method != "json_schema" or set(kwargs) - {"strict"}:
            raise UserError(f"Models of llm.kind llamacpp support only method='json_schema'; got {method!r}, {kwargs}.")
        json_schema = convert_to_json_schema(schema)
        model = self.bind(
            response_format={"type": "json_schema", "json_schema": {"schema": json_schema}},
            ls_structured_output_format={"kwargs": {"method": method}, "schema": json_schema},
        )
        parser: Runnable[Any, Any] = (
            PydanticOutputParser(pydantic_object=schema)
            if isinstance(schema, type) and is_basemodel_subclass(schema)
            else JsonOutputParser()
        )
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=lambda _: None)
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return {"raw": model} | parsed.with_fallbacks([failed], exception_key="parsing_error")

    def _request(
        self, messages: list[BaseMessage], stop: Sequence[str] | None, kwargs: dict[str, Any]
    ) -> tuple[str, list[int], dict[str, Any]]:
        """The reasoning tag that begins the answer (may be empty), the prompt's token ids, and llama.cpp's options."""
        [(prompt, ids)] = self.local.prompts([as_dicts(messages)])
        max_tokens = kwargs.get("max_tokens") or self.max_tokens or self.local.config.max_new_tokens
        check_room(len(ids), max_tokens, self.local.window)
        options: dict[str, Any] = {"n_predict": max_tokens, "stop": [*(stop or self.stop or ()), *self.local.stops]}
        match kwargs.get("response_format"):
            case {"type": "json_schema", "json_schema": {"schema": dict(schema)}} | {
                "type": "json_object",
                "schema": dict(schema),
            }:
                options["json_schema"] = {**schema, **_COMPACT}
            case {"type": "json_object"}:
                options["json_schema"] = {"type": "object", **_COMPACT}
        return open_reasoning_tag(prompt), ids, options

    def _metadata(self, response: dict[str, Any]) -> dict[str, Any]:
        reason = "length" if response.get("stop_type") == "limit" else "stop"
        return {"model_name": self.model_name, "finish_reason": reason}


def _usage(ids: Sequence[int], response: dict[str, Any]) -> UsageMetadata:
    generated = int(response["tokens_predicted"])
    return UsageMetadata(input_tokens=len(ids), output_tokens=generated, total_tokens=len(ids) + generated)
