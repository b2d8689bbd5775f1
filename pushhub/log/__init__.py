"""The log, pure: channel names, cursors, events, results of reads and grants."""
