"""The REST subset, one module per group of GitHub's own documentation."""
