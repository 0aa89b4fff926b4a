"""The demo: two chat messages, one application, and proof that it works."""
