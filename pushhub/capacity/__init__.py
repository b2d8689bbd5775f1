"""What a load needs, pure: memory, cores, Redis and sockets, from figures that were measured."""
