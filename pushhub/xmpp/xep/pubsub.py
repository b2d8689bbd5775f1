"""stub"""

from pushhub.xmpp.extension import Extension

EXTENSION = Extension()
