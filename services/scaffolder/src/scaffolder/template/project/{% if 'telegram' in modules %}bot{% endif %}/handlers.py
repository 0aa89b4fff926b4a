"""What the bot answers. Add a function and its handler to HANDLERS."""

from telegram import Update
from telegram.ext import BaseHandler, CommandHandler, ContextTypes


async def start(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
    """Greet."""
    if update.effective_message is not None:
        await update.effective_message.reply_text("Hello. I am running.")


HANDLERS: list[BaseHandler] = [CommandHandler("start", start)]
