"""What keeps a command from doing its work."""


class Problem(Exception):
    """One sentence that names what is wrong and says what to do."""
