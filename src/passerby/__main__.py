"""`python -m passerby`, which torchrun wants."""

from passerby.cli.main import main

main()
