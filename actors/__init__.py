"""Runs: workers, gangs and the pool."""
