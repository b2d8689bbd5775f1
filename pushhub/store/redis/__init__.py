"""A log in Redis or Valkey: one connection for commands, one for the feed."""
