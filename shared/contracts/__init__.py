"""Every message and REST body, and the topology of the streams."""
