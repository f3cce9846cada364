"""`python -m hvae_sr`: the command line, where its command is not on the path."""

from hvae_sr.cli import main

main()
