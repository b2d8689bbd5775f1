"""Tables and properties of the pure core. No event loop, no sleeps, no mocks."""
