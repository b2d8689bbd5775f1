"""GRIP without I/O: instructs of origins, items of publishers, and the polls that join them."""
