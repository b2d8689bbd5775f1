"""Tables and properties of the pure room `http`. No event loop, no sleeps, no mocks."""
