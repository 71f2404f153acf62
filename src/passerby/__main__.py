"""Entry point of `python -m passerby`, for torchrun."""

from passerby.cli.main import main

main()
