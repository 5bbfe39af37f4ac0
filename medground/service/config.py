"""The settings section ``serve``."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ServeConfig(BaseModel):
    """Settings of ``medground serve``.

    Attributes:
        host: address to listen at. Any but this machine's own needs tokens.
        port: 0 takes a free one.
        tokens: a bearer token for each user, by name. Without tokens, every client is ``chat.user``.
        tokens_file: a YAML file of further tokens, ``NAME: TOKEN`` a line; its owner only may read it.
        tls: clients reach the service by https, through a proxy on this machine. Session cookies are then Secure, and
            the proxy's ``X-Forwarded-For`` names the client.
        session_hours: hours until a login on the page ends.
        page: serve the page at ``/``.
        batch: questions in one pass through the model, at most; an agent's go one by one.
        passes: passes at the same time; they share the processor's threads.
        wait_ms: milliseconds for which the first question of a pass waits for others.
        queue: requests that may wait beside those in passes; further ones get status 429.
        timeout: seconds until an unanswered request ends with status 504.
        grace: seconds for admitted requests when the service is stopped.
        connections: open connections at most. Beyond it, the connection that has waited longest for a request is
            closed.
        receive_timeout: seconds for a client to send a whole request, and to take what was sent to it.
        max_body: bytes of a request.
        max_messages: messages of a request.
        log_text: write questions and answers to the log.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(default="127.0.0.1", min_length=1)
    port: int = Field(default=8000, ge=0, le=65535, strict=True)
    tokens: dict[str, SecretStr] = {}
    tokens_file: str | None = Field(default=None, min_length=1)
    tls: bool = False
    session_hours: float = Field(default=12, gt=0)
    page: bool = True
    batch: int = Field(default=16, ge=1, strict=True)
    passes: int = Field(default=2, ge=1, strict=True)
    wait_ms: int = Field(default=5, ge=0, strict=True)
    queue: int = Field(default=64, ge=0, strict=True)
    timeout: float = Field(default=120, gt=0)
    grace: float = Field(default=30, ge=0)
    connections: int = Field(default=512, ge=1, strict=True)
    receive_timeout: float = Field(default=20, gt=0)
    max_body: int = Field(default=1_000_000, ge=1, strict=True)
    max_messages: int = Field(default=200, ge=1, strict=True)
    log_text: bool = False
