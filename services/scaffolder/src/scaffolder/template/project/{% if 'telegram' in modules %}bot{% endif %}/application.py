"""Builds the bot and runs it until it is cancelled."""

import asyncio

from telegram.ext import Application, ApplicationBuilder

from bot.handlers import HANDLERS


def build(token: str, api_url: str = "") -> Application:
    """Return a bot with every handler; an empty api_url means the public Bot API."""
    builder = ApplicationBuilder().token(token)
    if api_url:
        base = api_url.rstrip("/")
        builder = builder.base_url(f"{base}/bot").base_file_url(f"{base}/file/bot")
    application = builder.build()
    application.add_handlers(HANDLERS)
    return application


async def serve(application: Application) -> None:
    """Poll for updates; ends by cancellation."""
    async with application:
        await application.start()
        await application.updater.start_polling()
        try:
            await asyncio.Event().wait()
        finally:
            await application.updater.stop()
            await application.stop()
