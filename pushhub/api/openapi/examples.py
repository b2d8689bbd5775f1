"""Streams as the description of the API shows them."""

STREAM_EXAMPLE = """id: l47wswsl6hpd-0

id: l47wswsl6hpd-1
data: {"hello": "world"}

id: l47wswsl6hpd-2
event: note
data: hi

"""
MANY_STREAM_EXAMPLE = """data: {"events":[],"cursors":{"demo":"l47wswsl6hpd-0"}}

data: {"events":[{"channel":"demo","offset":1,"cursor":"l47wswsl6hpd-1","id":"l47wswsl6hpd-1",\
"time":"2026-11-22T16:26:35.858Z","data":{"hello":"world"}}],"cursors":{"demo":"l47wswsl6hpd-1"}}

"""
