"""The chat: access control, commands, product-owner sessions, progress."""
