"""One adapter a model family: how its parts are loaded, read text, place their steps, draw noise and decode."""
