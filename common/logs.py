"""What the model libraries show unasked: bars for work of a moment, and a warning about a kernel that nobody needs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


def hush_bitsandbytes() -> None:
    """Keep bitsandbytes from warning that an optional kernel is not there, unless its logger's level is set already."""
    logger = logging.getLogger("bitsandbytes")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)


@contextmanager
def no_bars() -> Iterator[None]:
    """Hide transformers' bars for reading and writing weights; the hub's, for a download, are not transformers'."""
    from transformers.utils import logging as of_transformers

    before = of_transformers.set_tqdm_hook(lambda _, args, kwargs: of_transformers.EmptyTqdm(*args, **kwargs))
    try:
        yield
    finally:
        of_transformers.set_tqdm_hook(before)
