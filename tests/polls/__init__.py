"""Tables and properties of the pure room `polls`. No event loop, no sleeps, no mocks."""
