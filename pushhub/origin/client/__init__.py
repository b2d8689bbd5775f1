"""The client of an origin: a pool of HTTP/1.1 connections, responses byte for byte."""
