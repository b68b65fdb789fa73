"""The online endpoint: a Videos API on Ray Serve over the gang pool, with jobs that outlive it."""
