"""The browser client in a real, headless Chromium, against real hubs."""
