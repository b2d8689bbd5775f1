"""HTTP/1.1 connections: held requests need no task; guests serve everything else."""
