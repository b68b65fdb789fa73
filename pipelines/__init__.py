"""The dataset job and its commands: config, prompts, storage, commits, video files."""
