"""A text that may have any length, as a page or a message has room for it."""

MOST_CHARACTERS = 3000
"""Of a text of the page."""
MOST_OF_A_NAME = 300
"""Of the name of a file, in a sentence."""


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """`text`, or its first `most` characters and how many it has."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters in all)"
