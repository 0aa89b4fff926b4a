"""The command line agents use inside workers."""
