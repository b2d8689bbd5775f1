"""The faces: one file each, thin. A request is parsed, the hub is asked, the answer or the hold is
handed back.
"""
