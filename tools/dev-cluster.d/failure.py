"""What went wrong, in words for the person who ran the command."""


class Failure(Exception):
    """Says what failed, on what, and what to do."""
