"""Tables and properties of the pure room `log`. No event loop, no sleeps, no mocks."""
