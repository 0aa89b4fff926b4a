"""Scripted Anthropic, GitHub and Telegram servers that speak the real protocols."""
