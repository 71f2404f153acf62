"""Questions to a reviewer, the identities that follow from the answers, and the number of people."""
