"""Run events as they are followed: encoded once, handed to every reader."""
