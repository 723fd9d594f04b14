"""The exceptions raised on purpose: one tree, each message says what to do about it."""


class BridgeError(Exception):
    """Everything the bridge raises on purpose."""


class ConfigError(BridgeError):
    """The configuration or the command line cannot be used (exit code 2)."""


class PipelineError(ConfigError):
    """A pipeline is not one that a watcher can run; names the file and the stage."""


class MongoError(BridgeError):
    """MongoDB cannot be reached or answered with an error that may pass.

    ``code`` is MongoDB's own, 0 where it gave none.
    """

    def __init__(self, text: str, *, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class MongoRefused(MongoError):
    """MongoDB refuses what the watcher needs: privileges, login, pipeline, no replica set.

    Trying again soon is pointless: somebody has to change something first.
    """


class HistoryLost(MongoError):
    """The oplog no longer reaches back to where the stream was asked to start."""


class RequestError(BridgeError):
    """A client asked for something it cannot have: one of the contract's problem codes.

    ``status`` is the HTTP status, ``code`` the stable name that clients switch on.
    """

    status = 400
    code = "bad_request"
    title = "Bad request"

    def __init__(self, text: str, *, channel: str | None = None) -> None:
        """``channel`` is the one channel, of several, that the request fails for."""
        super().__init__(text)
        self.channel = channel


class BadCursor(RequestError):
    """The text is not a cursor, or lies in the future."""

    code = "bad_cursor"
    title = "Not a cursor"


class Unauthorized(RequestError):
    """No token, or one that is not valid."""

    status = 401
    code = "unauthorized"
    title = "Authentication needed"


class Forbidden(RequestError):
    """The client may not read this channel."""

    status = 403
    code = "forbidden"
    title = "Channel not readable"


class UnknownChannel(RequestError):
    """No watcher can produce a channel of that name."""

    status = 404
    code = "unknown_channel"
    title = "Unknown channel"


class NoSnapshot(RequestError):
    """The channel's state cannot be read by its name, or the operator has switched that off."""

    status = 404
    code = "no_snapshot"
    title = "No snapshot"


class TooManyConnections(RequestError):
    """The client, or all together, have as many connections as they may."""

    status = 429
    code = "too_many_connections"
    title = "Too many connections"


class HistoryGone(RequestError):
    """The messages since the cursor cannot all be given any more."""

    status = 410
    code = "history_lost"
    title = "History lost"


class Unavailable(RequestError):
    """The bridge cannot serve this now; the same request may work later."""

    status = 503
    code = "unavailable"
    title = "Not available now"


class NotThere(RequestError):
    """There is nothing at this path, or not for this method."""

    status = 404
    title = "Nothing here"


class BadFrame(RequestError):
    """What came on a WebSocket is no request of ours at all."""

    title = "Not a frame"


class Malformed(RequestError):
    """What came over the connection is not HTTP."""


class ContentTooLarge(RequestError):
    """The request has a body that is too large to be thrown away."""

    status = 413
    code = "content_too_large"
    title = "Content too large"


class UriTooLong(RequestError):
    """The request line is too long."""

    status = 414
    code = "uri_too_long"
    title = "URI too long"


class HeaderTooLarge(RequestError):
    """A header field is too long, or all together are."""

    status = 431
    code = "header_too_large"
    title = "Request header fields too large"


class Unforeseen(RequestError):
    """A mistake of the bridge: its log says which."""

    status = 500
    code = "internal_error"
    title = "Internal error"
