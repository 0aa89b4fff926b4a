"""PID 1 of every worker: runs agents headlessly."""
