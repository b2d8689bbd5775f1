"""The hub: who waits on what, and how the news reaches them."""
