"""Typed Redis Streams: the only place that speaks raw stream commands."""
