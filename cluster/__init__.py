"""Decides: schedules, forecasts, widths and plans; pure Python, and the thin Ray calls for placement."""
