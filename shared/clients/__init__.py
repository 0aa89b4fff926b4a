"""Clients of other systems: HTTP base, the api, GitHub."""
