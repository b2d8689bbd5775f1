"""`python -m pushhub` is the same as the `pushhub` command."""

from pushhub.cli import main

if __name__ == "__main__":
    main()
