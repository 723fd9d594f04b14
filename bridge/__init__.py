"""MongoDB change streams as channels of messages, over SSE, with exact replay."""

__version__ = "0.1.0"
