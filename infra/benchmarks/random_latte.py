"""Save Latte-1 at its true size with random weights, as a folder that pabcast runs: python random_latte.py FOLDER."""

import sys

import torch

from actors.engine.random_latte import random_latte
from pipelines.models import known_model

numbers = known_model("latte-1").numbers
assert numbers is not None
random_latte(numbers, "cuda" if torch.cuda.is_available() else "cpu", torch.bfloat16).save_pretrained(sys.argv[1])
