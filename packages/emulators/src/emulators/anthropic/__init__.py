"""An emulated Messages API: scripted, recording or replaying."""
