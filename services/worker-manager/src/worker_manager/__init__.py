"""worker-manager: owns agent workers (images, processes, containers, their life cycle); never proxies their data."""
