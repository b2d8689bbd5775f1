"""The states of an HTTP/1.1 connection, and the events that change them."""

from __future__ import annotations

IDLE, HEAD, BODY, HELD, STREAM, GUEST, LINGER = range(7)
NAMES = ("idle", "head", "body", "held", "stream", "guest", "linger")

MEANINGS = {
    IDLE: "between two requests",
    HEAD: "part of a head has arrived",
    BODY: "a head has arrived, and part of its body",
    HELD: "a hold will complete with the response",
    STREAM: "a stream is being written; its present turn may be a hold",
    GUEST: "uvicorn or the origin serves a request",
    LINGER: "the last response is written; bytes that still arrive are discarded",
}

# State → event → next state. ARCHITECTURE.md draws this table, and
# `tests/server/http1/test_states.py` compares it with what connections do.
TRANSITIONS = {
    IDLE: {
        "part of a head": HEAD,
        "a head whose body follows": BODY,
        "a request that waits": HELD,
        "a request for a stream": STREAM,
        "a page, or a request for the origin": GUEST,
        "the last response is written": LINGER,
    },
    HEAD: {"the rest of the head, or a refusal": IDLE},
    BODY: {
        "the response, or a refusal": IDLE,
        "the body of a request that waits": HELD,
    },
    HELD: {
        "the response": IDLE,
        "the opening of a stream": STREAM,
    },
    STREAM: {"its end, or a newer request": IDLE},
    GUEST: {
        "the end of its response": IDLE,
        "a request that waits": HELD,
        "a GRIP stream": STREAM,
        "a response before the end of the body": LINGER,
    },
    LINGER: {},
}
