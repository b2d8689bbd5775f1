"""Real servers, a nemesis, and a history that is checked afterwards."""
