"""The states of an HTTP/1.1 connection, and what moves it from one to another."""

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
# `tests/server/test_states.py` compares it with what connections do.
TRANSITIONS = {
    IDLE: {
        "part of a head": HEAD,
        "a head whose body follows": BODY,
        "a request that waits": HELD,
        "a request for a stream": STREAM,
        "a page, or a request for the origin": GUEST,
        "a last response, or a malformed request": LINGER,
    },
    HEAD: {
        "the rest of the head": IDLE,
        "a malformed head, or its deadline": LINGER,
    },
    BODY: {
        "the whole body, and its response": IDLE,
        "the whole body of a request that waits": HELD,
        "a malformed body, or its deadline": LINGER,
    },
    HELD: {
        "a response": IDLE,
        "the opening of a stream": STREAM,
        "a last response": LINGER,
    },
    STREAM: {
        "the end of the stream, or a newer request": IDLE,
        "a slow reader at the end": LINGER,
    },
    GUEST: {
        "the end of its response": IDLE,
        "a request that waits": HELD,
        "a GRIP stream": STREAM,
        "a body that is not read": LINGER,
    },
    LINGER: {},
}
