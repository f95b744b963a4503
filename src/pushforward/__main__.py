"""`python -m pushforward` is the command line."""

from pushforward.cli import main

main()
