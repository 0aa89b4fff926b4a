"""The engineering graph: from a task to a merged pull request."""
