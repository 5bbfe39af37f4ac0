"""The settings section ``serve``."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ServeConfig(BaseModel):
    """How ``medground serve`` serves.

    Attributes:
        host: the address to listen at. Any but this machine's own needs tokens.
        port: 0 takes a free one.
        tokens: a bearer token for each user, by name. Without any, whoever reaches the address is ``chat.user``.
        tokens_file: a YAML file of further ones, ``NAME: TOKEN`` a line.
        page: whether there is a page at ``/``.
        batch: how many questions go through the model in one pass at most; an agent's go one by one.
        passes: how many passes there are at once; the processor's threads are shared out among them.
        wait_ms: how long the first question of a pass waits for others, in milliseconds.
        queue: how many requests may wait beside those in passes; more are told to come back (status 429).
        timeout: seconds after which a request that is not answered ends with status 504.
        grace: seconds that requests have to end in when the service is stopped.
        max_body: bytes of a request.
        max_messages: messages of a request.
        log_text: write questions and answers to the log, which has neither otherwise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535, strict=True)
    tokens: dict[str, SecretStr] = {}
    tokens_file: str | None = Field(default=None, min_length=1)
    page: bool = True
    batch: int = Field(default=16, ge=1, strict=True)
    passes: int = Field(default=2, ge=1, strict=True)
    wait_ms: int = Field(default=5, ge=0, strict=True)
    queue: int = Field(default=64, ge=0, strict=True)
    timeout: float = Field(default=120, gt=0)
    grace: float = Field(default=30, ge=0)
    max_body: int = Field(default=1_000_000, ge=1, strict=True)
    max_messages: int = Field(default=200, ge=1, strict=True)
    log_text: bool = False
