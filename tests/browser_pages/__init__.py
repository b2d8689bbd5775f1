"""The demo and the console in a real, headless Chromium against a real hub."""
