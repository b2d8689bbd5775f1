"""The canary: checks that a hub runs on itself, from every process, and their verdicts."""
