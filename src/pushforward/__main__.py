"""`python -m pushforward` is the command line."""

from pushforward.cli.main import main

main()
