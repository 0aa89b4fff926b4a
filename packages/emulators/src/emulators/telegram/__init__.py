"""An emulated Telegram: the Bot API on one side, a user who writes and presses buttons on the other."""
