"""Tasks that run beside the web application: each module here has `async def run(settings) -> None`."""
