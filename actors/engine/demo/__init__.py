"""The bundled demo model: its files in MODEL_FOLDER, and the recipe that made them."""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"

__all__ = ["MODEL_FOLDER"]
