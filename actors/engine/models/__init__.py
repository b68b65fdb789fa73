"""One adapter a model family: its attention sites, their kinds and how its sequence is shared out."""
