"""Messages between agents, byte by byte; nobody else packs bytes. docs/wire_format.md is the same in tables.

`envelope` is what all messages have in common and the registry of their kinds, `fields` what payloads share.
Each kind is a module that registers itself; all of them are imported with the package.
"""

import sys

from cosense import plugins

for _name in plugins.names(sys.modules[__name__]):
    plugins.load(sys.modules[__name__], _name)
