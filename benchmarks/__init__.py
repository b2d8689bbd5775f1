"""The load-test harness: pushhub and its peers under the same load, in the same run."""
