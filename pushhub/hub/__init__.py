"""The hub: channels in memory, holds, and the delivery of events to them."""
