"""Suppression of warnings, progress bars and reports of the model libraries."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def hush_bitsandbytes() -> None:
    """Hide bitsandbytes' warning about an optional kernel, unless the user has set its logger's level."""
    logger = logging.getLogger("bitsandbytes")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)


@contextmanager
def no_bars() -> Iterator[None]:
    """Hide transformers' progress bars for loading weights, but not those for downloads."""
    from transformers.utils import logging as transformers_logging

    previous_hook = transformers_logging.set_tqdm_hook(
        lambda _, args, kwargs: transformers_logging.EmptyTqdm(*args, **kwargs)
    )
    try:
        yield
    finally:
        transformers_logging.set_tqdm_hook(previous_hook)


@contextmanager
def no_loading_report() -> Iterator[None]:
    """Hide transformers' table of missing and unexpected weights of a checkpoint; the caller checks them."""
    from transformers.utils import logging as transformers_logging

    previous = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(previous)
