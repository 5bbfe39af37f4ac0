"""Less output from the model libraries."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def hush_bitsandbytes() -> None:
    """Hide bitsandbytes' warning about an optional kernel, unless its logger has a level."""
    logger = logging.getLogger("bitsandbytes")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)


@contextmanager
def no_bars() -> Iterator[None]:
    """Hide transformers' progress bars for weights; download bars stay."""
    from transformers.utils import logging as of_transformers

    before = of_transformers.set_tqdm_hook(lambda _, args, kwargs: of_transformers.EmptyTqdm(*args, **kwargs))
    try:
        yield
    finally:
        of_transformers.set_tqdm_hook(before)


@contextmanager
def no_loading_report() -> Iterator[None]:
    """Hide transformers' table of weights that a checkpoint lacks or has too many of; the caller checks them."""
    from transformers.utils import logging as of_transformers

    before = of_transformers.get_verbosity()
    of_transformers.set_verbosity_error()
    try:
        yield
    finally:
        of_transformers.set_verbosity(before)
