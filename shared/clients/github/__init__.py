"""GitHub App client."""
