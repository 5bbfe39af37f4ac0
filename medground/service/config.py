"""The settings section ``serve``."""

from pydantic import ConfigDict, Field, SecretStr

from retrievers.config import Count, Section


class ServeConfig(Section):
    """The HTTP service of ``medground serve``."""

    model_config = ConfigDict(allow_inf_nan=False)

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address to listen at. An address that other machines can reach needs tokens.",
    )
    port: int = Field(default=8000, ge=0, le=65535, strict=True, description="Port to listen at; 0 takes a free one.")
    tokens: dict[str, SecretStr] = Field(
        default={},
        description="Bearer tokens by user, NAME: TOKEN. Without tokens, every client is the user chat.user.",
    )
    tokens_file: str | None = Field(
        default=None,
        min_length=1,
        description="YAML file of further tokens, one NAME: TOKEN per line, readable by its owner only.",
    )
    tls: bool = Field(
        default=False,
        description=(
            "Clients reach the service by https, through a proxy on this machine. Session cookies are "
            "then Secure, and the proxy's X-Forwarded-For names the client."
        ),
    )
    session_hours: float = Field(default=12, gt=0, description="Hours until a login on the page ends.")
    page: bool = Field(default=True, description="Serve the page at /.")
    batch: Count = Field(
        default=16, description="Maximum number of questions in a batch. An agent answers one at a time."
    )
    passes: Count = Field(
        default=2, description="Number of batches computed at the same time; they share the processor's threads."
    )
    wait_ms: int = Field(
        default=5,
        ge=0,
        strict=True,
        description="Milliseconds that the first question of a batch waits for further ones.",
    )
    queue: int = Field(
        default=64, ge=0, strict=True, description="Requests that may wait for a batch; further ones get status 429."
    )
    timeout: float = Field(default=120, gt=0, description="Seconds until an unanswered request ends with status 504.")
    grace: float = Field(
        default=30, ge=0, description="Seconds for admitted requests to finish after the service is asked to stop."
    )
    connections: Count = Field(
        default=512,
        description=(
            "Maximum number of open connections. Beyond it, the connection that has waited longest for a "
            "request is closed."
        ),
    )
    receive_timeout: float = Field(
        default=20, gt=0, description="Seconds for a client to send a whole request, or to receive what was sent."
    )
    max_body: Count = Field(default=1_000_000, description="Maximum number of bytes in a request.")
    max_messages: Count = Field(
        default=200, description="Maximum number of messages, or of statements to check, in a request."
    )
    log_text: bool = Field(default=False, description="Write questions and answers to the log.")
