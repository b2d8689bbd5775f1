"""HTTP/1.1 connections: held requests without a task each, guests for everything else."""
