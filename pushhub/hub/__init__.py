"""The hub: the requests that wait, and the path of each event to them."""
