"""The conformance test of clients: runs a client against scripted servers and real hubs on
loopback, and checks what the client sends and prints. docs/protocol.md is the contract.
"""
