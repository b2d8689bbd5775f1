"""What a load needs."""
