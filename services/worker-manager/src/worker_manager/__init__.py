"""Owns agent workers: images, containers, processes, their life cycle."""
