"""The rehearsal: a whole site on one machine, clients of every kind, and everything that goes wrong
in years of service within minutes. `deploy/rehearse` runs it.
"""
