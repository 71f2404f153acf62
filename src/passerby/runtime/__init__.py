"""Networks from files of other tools, without torch."""
