"""Temporary."""

RemoteSleeper = None
