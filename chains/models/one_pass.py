"""Base class of LangChain runnables that handle all inputs of a batch together."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from langchain_core.callbacks import CallbackManagerForChainRun
from langchain_core.runnables import Runnable, RunnableConfig, run_in_executor
from langchain_core.runnables.utils import Input, Output

from common.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")


def apply_to_valid(
    items: Sequence[Item | UserError], run: Callable[[list[Item]], Sequence[Result]]
) -> list[Result | UserError]:
    """A result for each item, in order: the error if the item is one, else the result of ``run``."""
    valid = [item for item in items if not isinstance(item, UserError)]
    results = iter(run(valid) if valid else ())
    return [item if isinstance(item, UserError) else next(results) for item in items]


class OnePassRunnable(Runnable[Input, Output], ABC):
    """A ``Runnable`` whose ``batch`` and ``abatch`` handle all inputs in one pass.

    An input that cannot be handled raises ``UserError``; any other error ends the batch. With ``return_exceptions``,
    both kinds of error become the result of their input instead.
    """

    @abstractmethod
    def _in_one_pass(self, inputs: Sequence[Input], configs: Sequence[RunnableConfig]) -> list[Exception | Output]:
        """Return a result or an error for each input, in order."""

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        """Handle one input."""

        def handle(
            input: Input,
            run_manager: CallbackManagerForChainRun,  # noqa: ARG001  (LangChain passes it by name)
            config: RunnableConfig,
        ) -> Output:
            result = self._in_one_pass([input], [config])[0]
            if isinstance(result, Exception):
                raise result
            return result

        return self._call_with_config(handle, input, config, **kwargs)

    def batch(
        self,
        inputs: list[Input],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Output]:
        """Handle all inputs in one pass."""
        handle = self._halving if return_exceptions else self._in_one_pass

        def handle_all(
            inputs: list[Input],
            run_manager: list[CallbackManagerForChainRun],  # noqa: ARG001
            config: list[RunnableConfig],
        ) -> list[Exception | Output]:
            return handle(inputs, config)

        return self._batch_with_config(handle_all, inputs, config, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[Input],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any | None,
    ) -> list[Output]:
        """Handle all inputs in one pass, in a separate thread."""
        return await run_in_executor(None, self.batch, inputs, config, return_exceptions=return_exceptions, **kwargs)

    def _halving(self, inputs: Sequence[Input], configs: Sequence[RunnableConfig]) -> list[Exception | Output]:
        """Handle all inputs in one pass; if it fails, handle each half, until every error belongs to one input.

        A ``UserError`` of the pass, for example about an unusable model, is raised.
        """
        try:
            return self._in_one_pass(inputs, configs)
        except UserError:
            raise
        except Exception as error:
            if len(inputs) == 1:
                return [error]
        half = len(inputs) // 2
        return [*self._halving(inputs[:half], configs[:half]), *self._halving(inputs[half:], configs[half:])]
