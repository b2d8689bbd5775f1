"""Resources of an origin that several clients wait for, with one fetch for all."""
