"""The names and formats of pushhub's keys, values and messages in Redis.

Keys of one channel share a hash tag, so that they lie in one slot of a cluster. What kind of key it
is stands before the name, since a name may have any characters.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pushhub.log.event import Event

if TYPE_CHECKING:
    from pushhub.log.event import Draft

EPOCH_KEY = b"ph:epoch"
# How keys, values and messages are written, as the data says itself. Another format has another
# number.
FORMAT = 1
NAMES_KEY = b"ph:names"
# Rates: the limit and the hash of its subject follow.
LIMITS_PREFIX = b"ph:rl:"
# Which node removes idle channels, and how far its walk has come.
IDLE_KEY = b"ph:idle"

# The retained bytes of a namespace; its name follows.
BYTES_PREFIX = b"ph:b:"

_META = b"ph:m:{c"
# The metadata of all channels, as a pattern of SCAN.
META_PATTERN = _META + b"*"

_LENGTHS = struct.Struct(">HHH")

# What a message on a channel's pub/sub says when the channel was deleted.
DELETED = b"-"
# How a message with a trace context begins. Versions before it cannot read such a message: they
# read the event from the log.
TRACED = b"trace "


def keys(channel: str) -> tuple[bytes, bytes]:
    """The keys of a channel's metadata and of its stream. A brace in a name ends the hash tag
    early: that of both alike.
    """
    tag = b"{c" + channel.encode() + b"}"
    return b"ph:m:" + tag, b"ph:s:" + tag


def channel_of_meta(key: bytes) -> str | None:
    """The channel that a key of metadata belongs to; None for a key that is none of pushhub's."""
    if not (key.startswith(_META) and key.endswith(b"}")):
        return None
    try:
        return key[len(_META) : -1].decode()
    except UnicodeDecodeError:
        return None


def bytes_key(namespace: str) -> bytes:
    """The key that counts the retained bytes of a namespace."""
    return BYTES_PREFIX + namespace.encode()


def used_key(channel: str, key: str) -> bytes:
    """The key that remembers an idempotency key of a channel."""
    name = channel.encode()
    # With the name's length, no two pairs of name and key give one text.
    return b"ph:k%d:{c%b}%b" % (len(name), name, key.encode())


def topics(database: int) -> bytes:
    """The prefix of a database's pub/sub channels: Redis has one pub/sub for all databases."""
    return b"ph:e%d:" % database


def channel_of(topic: bytes) -> str:
    """The channel whose events a pub/sub channel carries."""
    return topic.split(b":", 2)[2].decode()


def pack(draft: Draft) -> bytes:
    """The frame of an event in the log and in pub/sub: all but its offset and time."""
    type_, id_, content_type = draft.type.encode(), draft.id.encode(), draft.content_type.encode()
    lengths = _LENGTHS.pack(len(type_), len(id_), len(content_type))
    return b"".join((lengths, type_, id_, content_type, draft.data))


def unpack(
    channel: str, epoch: str, offset: int, time: int, frame: bytes, traceparent: str = ""
) -> Event:
    """The event of a frame."""
    type_size, id_size, content_size = _LENGTHS.unpack_from(frame)
    id_at = _LENGTHS.size + type_size
    content_at = id_at + id_size
    data_at = content_at + content_size
    return Event(
        channel,
        epoch,
        offset,
        frame[data_at:],
        frame[content_at:data_at].decode(),
        frame[_LENGTHS.size : id_at].decode(),
        frame[id_at:content_at].decode(),
        time,
        traceparent,
    )


def unpack_message(channel: str, payload: bytes) -> Event:
    """The event that a pub/sub message carries: `epoch offset time frame`, or
    `trace traceparent epoch offset time frame`. No epoch has the length of the first word.
    """
    traceparent = ""
    if payload.startswith(TRACED):
        _, context, payload = payload.split(b" ", 2)
        traceparent = context.decode()
    epoch, offset, time, frame = payload.split(b" ", 3)
    return unpack(channel, epoch.decode(), int(offset), int(time), frame, traceparent)


def unpack_entry(channel: str, entry: list[object]) -> Event:
    """The event of a stream entry: its id, and the fields e, t and f, and p if it is traced."""
    id_, pairs = entry
    assert isinstance(id_, bytes)
    assert isinstance(pairs, list)
    fields: dict[bytes, bytes] = dict(zip(pairs[::2], pairs[1::2], strict=True))
    offset = int(id_.partition(b"-")[0])
    traceparent = fields.get(b"p", b"").decode()
    return unpack(
        channel, fields[b"e"].decode(), offset, int(fields[b"t"]), fields[b"f"], traceparent
    )
