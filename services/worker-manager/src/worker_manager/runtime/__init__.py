"""Where workers run: one port, and the runtimes behind it."""
