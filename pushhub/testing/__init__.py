"""For tests of what is built on pushhub, and of pushhub itself. It is public, and kept stable."""
