"""Connects: commands, configs, prompts, the dataset job, storage and video files."""
