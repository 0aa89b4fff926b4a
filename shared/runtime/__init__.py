"""One process shape for every service."""
