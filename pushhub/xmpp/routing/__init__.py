"""Where stanzas go: users on this node, messages, presence and iqs."""
