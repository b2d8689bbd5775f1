"""The user's REST server behind pushhub: requests on their way to it, and what it takes part in."""
